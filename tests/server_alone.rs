//! What the server does where nothing was built around it: `cargo test --no-default-features --test server_alone`.
#![cfg(not(feature = "lab"))]

mod support;

use serde_json::Value;
use support::Server;

#[test]
fn there_is_no_swarm_to_bring_a_crowd() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let page: Value = serde_json::from_str(&client.get("/kernel").body).unwrap();
    assert_eq!((&page["crowd"], &page["crowd_room"]), (&Value::Null, &Value::from(0)));
    let body = r#"{"technique":"sse","clients":1}"#;
    let length = body.len();
    client.send(&format!(
        "POST /kernel/crowd HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
    ));
    let answer = client.answer();
    assert_eq!(answer.status, 501, "{}", answer.body);
    assert!(answer.body.contains("lab"), "{}", answer.body);
    client.send("DELETE /kernel/crowd HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.answer().status, 404);
}

#[test]
fn the_other_commands_are_not_there() {
    for command in ["watch", "publish", "swarm", "relay", "bench", "exhibit"] {
        let output =
            std::process::Command::new(env!("CARGO_BIN_EXE_doorbell")).arg(command).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{command}");
    }
}
