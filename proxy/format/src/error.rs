//! Why a text is no format.

/// A text that is no format, with the position of what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {position} of {text:?}: {fault}")]
pub struct FormatError {
    /// The whole text.
    pub text: Box<str>,
    /// Where the operator begins that is wrong.
    pub position: usize,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with an operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A `%` that begins nothing.
    #[error("'%' starts no operator; write %% for a percent sign")]
    Percent,
    /// Not an operator of ours.
    #[error("the operator {0:?} is not supported")]
    Unknown(Box<str>),
    /// An operator that needs something in parentheses.
    #[error("the operator {0:?} needs {1} in parentheses")]
    NoArgument(Box<str>, &'static str),
    /// An operator that takes nothing in parentheses.
    #[error("the operator {0:?} takes nothing in parentheses")]
    Argument(Box<str>),
    /// A length behind an operator whose value is not cut.
    #[error("the operator {0:?} takes no length")]
    Length(Box<str>),
    /// Not a header name.
    #[error("{0:?} is not a header name")]
    Header(Box<str>),
    /// Not a format of a time.
    #[error("{0:?} is not a format of a time")]
    Time(Box<str>),
}
