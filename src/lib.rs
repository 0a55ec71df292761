//! doorbell: both kinds of polling in one program.
//!
//! Two things are called polling. One is how a client learns of news from a server: short polling,
//! long polling, HTTP streaming, Server-Sent Events, WebSocket. The other is how one thread learns from
//! the kernel which of ten thousand sockets is ready: select(2), poll(2), epoll(7). They are two axes,
//! independent of each other, and here each of them is a folder:
//!
//! - [`technique`]: what the bytes mean. It knows no socket and no clock.
//! - [`multiplexer`]: how the loop waits. It knows no byte.
//!
//! What lies around them, from the top floor to the ground; arrows only point down:
//!
//! ```text
//! cli            the words on the command line
//! client, swarm  beside the server: the other end of each technique, and a crowd of them
//! exhibit        famous mistakes, each beside its cure; on multiplexer, sys and the ground alone
//! server         the loop: sleep, dispatch, expire, deliver, resume; and settle
//! connection     one accepted socket
//! technique      what the bytes mean          multiplexer   how the loop waits
//! http, websocket, channel                    sys           one function for each system call
//! tick, wheel, table, buffer                  the ground: no idea of a network
//! ```
//!
//! Around the server, and left out without the feature `lab`, is what shows it: `client` follows a channel, `swarm`
//! is a crowd of such clients, `relay` puts distance between two ends, `bench` compares, and `exhibit` sets mistakes
//! beside their cures.
//!
//! To read it, begin where a lesson would: [`multiplexer`], its three files side by side; then
//! [`server`], whose five beats are the loop; then `technique/long_poll.rs`, which is what a parked
//! request costs; then `server/settle.rs`, where everything that must not be forgotten is derived; and
//! then [`wheel`], for the pleasure of it. docs/MAP.md says where everything else is.

#[cfg(feature = "lab")]
pub mod bench;
pub mod buffer;
pub mod channel;
pub mod cli;
#[cfg(feature = "lab")]
pub mod client;
pub mod connection;
#[cfg(feature = "lab")]
pub mod digits;
#[cfg(feature = "lab")]
pub mod exhibit;
pub mod http;
pub mod multiplexer;
pub mod page;
pub mod random;
pub mod rate;
#[cfg(feature = "lab")]
pub mod relay;
pub mod server;
pub mod settings;
#[cfg(feature = "lab")]
pub mod swarm;
pub mod sys;
pub mod table;
pub mod technique;
pub mod tick;
pub mod websocket;
pub mod wheel;
