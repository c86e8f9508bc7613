//! What must be true of the whole. The Rust tests here hold the architecture; the Python suites
//! beside them (`e2e`, `interop`, `differential`) drive the binaries as users and foreign peers do.
//! `tests/run` runs everything.
