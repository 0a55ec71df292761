//! title
pub mod channel;
pub mod http;
pub mod multiplexer;
pub mod page;
pub mod settings;
pub mod sys;
pub mod tick;
pub mod websocket;
pub mod wheel;
