//! title
pub mod buffer;
pub mod channel;
pub mod cli;
pub mod connection;
pub mod http;
pub mod multiplexer;
pub mod page;
pub mod random;
pub mod server;
pub mod settings;
pub mod sys;
pub mod table;
pub mod technique;
pub mod tick;
pub mod websocket;
pub mod wheel;
