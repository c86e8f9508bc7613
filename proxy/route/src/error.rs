//! Why virtual hosts do not make a route table.

/// A set of virtual hosts that has no unambiguous meaning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// Two virtual hosts (or one, twice) claim a domain.
    #[error(
        "virtual host \"{second}\": domain \"{domain}\" is already taken by virtual host \
         \"{first}\" (hint: domains are compared without regard to case; list each one once)"
    )]
    DuplicateDomain {
        /// The domain as the second virtual host spells it.
        domain: Box<str>,
        /// Who has it.
        first: Box<str>,
        /// Who wants it too.
        second: Box<str>,
    },
    /// A virtual host that can never be chosen.
    #[error("virtual host \"{vhost}\" has no domains (hint: use \"*\" to take every host)")]
    NoDomains {
        /// Its name.
        vhost: Box<str>,
    },
    /// A domain longer than any host with a port can be.
    #[error("virtual host \"{vhost}\": a domain has {length} bytes, at most {limit} are allowed")]
    DomainTooLong {
        /// The virtual host.
        vhost: Box<str>,
        /// Bytes it has.
        length: usize,
        /// Bytes it may have.
        limit: usize,
    },
    /// More virtual hosts or routes than an index can number.
    #[error("{what}: {count} are too many")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        count: usize,
    },
}
