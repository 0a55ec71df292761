//! What is said in each technique: two events, the second of them with the cursor of the first.

use super::stage::Stage;

/// One conversation.
pub type Script = fn(&mut Stage<'_>) -> Result<(), String>;

/// The techniques, by the names that everything gives them.
pub const SCRIPTS: [(&str, Script); 5] = [
    ("short_poll", short_poll),
    ("long_poll", long_poll),
    ("stream", stream),
    ("sse", sse),
    ("websocket", websocket),
];

/// Asks three times: nothing yet, an event, nothing more.
fn short_poll(stage: &mut Stage<'_>) -> Result<(), String> {
    stage.get("/news?%", "")?;
    stage.answer()?;
    for data in ["ding", "dong"] {
        let cursor = stage.cursor()?;
        stage.ring(data)?;
        stage.get(&format!("/news?%&since={cursor}"), "")?;
        stage.answer()?;
    }
    let cursor = stage.cursor()?;
    stage.get(&format!("/news?%&since={cursor}"), "")?;
    stage.answer()
}

/// Parks, is answered, parks behind the cursor, is answered; and asks for what was there already, which is
/// answered at once.
fn long_poll(stage: &mut Stage<'_>) -> Result<(), String> {
    stage.get("/poll?%", "")?;
    stage.wait_until_parked()?;
    stage.ring("ding")?;
    stage.answer()?;
    let cursor = stage.cursor()?;
    stage.get(&format!("/poll?%&since={cursor}"), "")?;
    stage.wait_until_parked()?;
    stage.ring("dong")?;
    stage.answer()?;
    stage.get(&format!("/poll?%&since={cursor}"), "")?;
    stage.answer()
}

/// One answer without end: the head and the welcome, and a chunk for each event.
fn stream(stage: &mut Stage<'_>) -> Result<(), String> {
    endless(stage, "/stream?%", "")
}

/// The same in the notation of EventSource.
fn sse(stage: &mut Stage<'_>) -> Result<(), String> {
    endless(stage, "/connect?%", "Accept: text/event-stream\r\n")
}

fn endless(stage: &mut Stage<'_>, target: &str, fields: &str) -> Result<(), String> {
    stage.get(target, fields)?;
    stage.answer()?;
    stage.chunk()?;
    for data in ["ding", "dong"] {
        stage.ring(data)?;
        stage.chunk()?;
    }
    Ok(())
}

/// The handshake and the welcome, a frame for each event, one that the subscriber publishes itself, and a
/// ping.
fn websocket(stage: &mut Stage<'_>) -> Result<(), String> {
    const TEXT: u8 = 1;
    const PING: u8 = 9;
    stage.upgrade("/ws?%")?;
    stage.answer()?;
    stage.frame()?;
    for data in ["ding", "dong"] {
        stage.ring(data)?;
        stage.frame()?;
    }
    stage.send_frame(TEXT, b"and mine")?;
    stage.frame()?;
    stage.send_frame(PING, b"still there?")?;
    stage.frame()
}
