//! Envoy's format strings: text with operators such as `%REQ(X-USER)%` or `%START_TIME(%s)%`.
//!
//! A [`Format`] is parsed once, into literal text and operators whose arguments are ready to be
//! used, and written out for each request from a [`View`] of what is known about it. An operator
//! that this crate does not know is refused when the text is parsed, with its position.
//!
//! The crate is pure: the clock, the process's variables and its host's name come with the view.
//!
//! ```
//! use weft_format::{Format, View};
//!
//! let format: Format = "status=%RESPONSE_CODE% 100%%".parse()?;
//! let mut out = Vec::new();
//! format.render(&View { status: Some(204), ..View::default() }, "-", &mut out);
//! assert_eq!(out, b"status=204 100%");
//! # Ok::<(), weft_format::FormatError>(())
//! ```

mod error;
mod json;
mod operator;
mod parse;
mod render;
mod time;
mod view;

pub use error::{Fault, FormatError};
pub use json::JsonFormat;
pub use parse::Format;
pub use view::{Address, Host, Metadata, MetadataValues, Request, Upstream, View};
