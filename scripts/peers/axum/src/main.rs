//! A push server as one would write it with axum, whose WebSockets are tokio-tungstenite's: `axum-peer PORT`.
//! One thread, like the server that it is compared with.

use axum::body::Bytes;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::serve::ListenerExt;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::{Stream, StreamExt};

/// Events of each channel that a poll may have missed, or a subscriber may be behind.
const KEPT: usize = 1024;

#[derive(Clone)]
struct News {
    id: u64,
    data: Utf8Bytes,
}

struct Channel {
    bell: broadcast::Sender<News>,
    history: Mutex<History>,
}

#[derive(Default)]
struct History {
    last: u64,
    kept: VecDeque<News>,
}

impl Default for Channel {
    fn default() -> Channel {
        Channel { bell: broadcast::channel(KEPT).0, history: Mutex::default() }
    }
}

type Channels = Arc<Mutex<HashMap<String, Arc<Channel>>>>;

#[derive(Deserialize)]
struct Which {
    #[serde(default)]
    channel: String,
    since: Option<u64>,
}

impl Which {
    fn open(&self, channels: &Channels) -> Arc<Channel> {
        channels.lock().unwrap().entry(self.channel.clone()).or_default().clone()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).expect("usage: axum-peer PORT");
    let app = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/poll", get(poll))
        .route("/connect", get(connect))
        .route("/ws", any(follow))
        .route("/echo", any(|upgrade: WebSocketUpgrade| async { upgrade.on_upgrade(echo) }))
        .route("/event", post(publish))
        .with_state(Channels::default());
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.expect("cannot listen");
    let listener = listener.tap_io(|socket| {
        let _ = socket.set_nodelay(true);
    });
    axum::serve(listener, app).await.expect("cannot serve");
}

async fn publish(State(channels): State<Channels>, Query(which): Query<Which>, body: Bytes) -> Response {
    let Ok(data) = Utf8Bytes::try_from(body) else { return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response() };
    let channel = which.open(&channels);
    let mut history = channel.history.lock().unwrap();
    history.last += 1;
    let news = News { id: history.last, data };
    history.kept.push_back(news.clone());
    if history.kept.len() > KEPT {
        history.kept.pop_front();
    }
    // Nobody may be listening.
    let _ = channel.bell.send(news.clone());
    (StatusCode::CREATED, Json(json!({ "id": news.id.to_string() }))).into_response()
}

async fn poll(State(channels): State<Channels>, Query(which): Query<Which>) -> Response {
    let channel = which.open(&channels);
    let (missed, mut coming) = {
        let history = channel.history.lock().unwrap();
        let since = which.since.unwrap_or(history.last);
        let missed: Vec<News> = history.kept.iter().filter(|news| news.id > since).cloned().collect();
        (missed, channel.bell.subscribe())
    };
    let events = match missed.is_empty() {
        false => missed,
        true => match coming.recv().await {
            Ok(news) => vec![news],
            Err(_) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        },
    };
    let cursor = events.last().map_or(0, |news| news.id).to_string();
    let events: Vec<&str> = events.iter().map(|news| news.data.as_str()).collect();
    Json(json!({ "cursor": cursor, "events": events })).into_response()
}

async fn connect(
    State(channels): State<Channels>,
    Query(which): Query<Which>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let coming = BroadcastStream::new(which.open(&channels).bell.subscribe());
    Sse::new(coming.filter_map(|news| news.ok()).map(|news| {
        Ok(Event::default().id(news.id.to_string()).data(news.data.as_str()))
    }))
}

async fn follow(
    State(channels): State<Channels>,
    Query(which): Query<Which>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let coming = which.open(&channels).bell.subscribe();
    upgrade.on_upgrade(|socket| tell(socket, coming))
}

async fn tell(mut socket: WebSocket, mut coming: broadcast::Receiver<News>) {
    loop {
        tokio::select! {
            news = coming.recv() => {
                let Ok(news) = news else { return };
                if socket.send(Message::Text(news.data)).await.is_err() {
                    return;
                }
            }
            said = socket.recv() => {
                if !matches!(said, Some(Ok(_))) {
                    return;
                }
            }
        }
    }
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        let is_said = matches!(message, Message::Text(_) | Message::Binary(_));
        if is_said && socket.send(message).await.is_err() {
            return;
        }
    }
}
