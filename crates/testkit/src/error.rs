use std::fmt;

/// A test server could not be started, or could not do what it was asked to in this process.
#[derive(Debug, Clone)]
pub struct StartError(String);

impl StartError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "testkit: {}", self.0)
    }
}

impl std::error::Error for StartError {}
