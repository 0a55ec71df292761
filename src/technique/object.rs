//! What is said on a stream of lines and on a WebSocket: the same JSON objects.

use crate::channel::{Cursor, Event};

/// Appends `{"type":"welcome","cursor":…,"missed":…}`.
pub(super) fn write_welcome(out: &mut Vec<u8>, cursor: Cursor, missed: bool) {
    out.extend_from_slice(br#"{"type":"welcome","cursor":""#);
    cursor.write(out);
    out.extend_from_slice(if missed { br#"","missed":true}"#.as_slice() } else { br#"","missed":false}"# });
}

/// Appends `{"type":"event","id":…,"time":…,"data":…}`.
pub(super) fn write_event(out: &mut Vec<u8>, id: Cursor, event: &Event) {
    out.extend_from_slice(br#"{"type":"event","#);
    event.write_members(id, out);
    out.push(b'}');
}
