//! The admin side of a control plane: the documents of the mesh, and the APIs to them.
//!
//! [`Documents`] holds the one mesh that is in force. It comes from files and from the store
//! (changed through the API), or from a folder that is followed, and every change is checked
//! against all of it before anything is kept. [`Admin`] is what can be asked and done; REST
//! ([`router`]) and gRPC are two forms of it, served by [`serve`]. [`api`] are the types of REST.

mod admin;
pub mod api;
mod documents;
mod grpc;
mod guard;
mod openapi;
mod operation;
mod refuse;
mod rest;
mod router;
mod server;
mod stored;

pub use admin::{Admin, Preview, Readiness};
pub use documents::{Documents, DocumentsError, InForce, Trouble};
pub use guard::Guard;
pub use openapi::openapi;
pub use router::router;
pub use server::{Limits, serve};
