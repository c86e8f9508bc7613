//! The admin side of a control plane: the documents of the mesh, and the REST API to them.
//!
//! [`Documents`] holds the one mesh that is in force. It comes from files (read at the start) and
//! from the store (changed through the API), and every change is checked against all of it before
//! anything is kept. [`router`] is the API; [`api`] are its types.

pub mod api;
mod documents;
mod refuse;
mod routes;

pub use documents::{Documents, DocumentsError, InForce};
pub use routes::{Admin, router};
