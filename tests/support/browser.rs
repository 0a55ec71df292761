//! A real browser, driven by one of the scripts in tests/clients.

use super::{PATIENCE, collect_lines};
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Instant;

/// A browser on its way through one scenario of a script. It is closed when it is dropped.
pub struct Browser {
    node: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Browser {
    /// Runs tests/clients/SCRIPT with these arguments.
    pub fn start(script: &str, arguments: &[&str]) -> Browser {
        assert!(chromium().exists(), "there is no {}; run ./scripts/test", chromium().display());
        let mut node = Command::new("node")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script))
            .args(arguments)
            .env("DOORBELL_NODE_PATH", node_path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("node: {error}; run ./scripts/test, which installs it"));
        let lines = collect_lines(node.stdout.take().unwrap());
        Browser { stdin: node.stdin.take(), node, lines }
    }

    /// The next thing that it tells.
    pub fn hear(&self) -> Value {
        let line = self.lines.recv_timeout(4 * PATIENCE).expect("another line from the browser");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    pub fn expect(&self, told: Value) {
        assert_eq!(self.hear(), told);
    }

    /// Lets it go on.
    pub fn go_on(&mut self) {
        self.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }
}

impl Drop for Browser {
    /// It is asked to go, so that it takes its folder in /tmp with it.
    fn drop(&mut self) {
        self.stdin = None;
        let deadline = Instant::now() + PATIENCE;
        while self.node.try_wait().is_ok_and(|status| status.is_none()) && Instant::now() < deadline {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let _ = self.node.kill();
        let _ = self.node.wait();
    }
}

fn chromium() -> PathBuf {
    std::env::var_os("DOORBELL_CHROMIUM").unwrap_or_else(|| "/usr/bin/chromium".into()).into()
}

/// Where playwright-core is: where the environment says, or else where ./scripts/test puts it.
fn node_path() -> PathBuf {
    let path = std::env::var_os("DOORBELL_NODE_PATH").map(PathBuf::from);
    let path = path.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients/node"));
    let module = path.join("node_modules/playwright-core");
    assert!(module.exists(), "there is no {}; run ./scripts/test, which installs it", module.display());
    path
}
