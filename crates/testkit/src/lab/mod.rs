//! placeholder
pub(crate) fn is_control(path: &str) -> bool {
    path == "/lab" || path.starts_with("/lab/")
}
pub(crate) fn control(_: &crate::shared::Shared, _: &crate::RecordedRequest) -> crate::answer::Answer {
    crate::answer::Answer::not_found()
}
