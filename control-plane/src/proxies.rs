//! The convergence ledger in the words of the admin API.
