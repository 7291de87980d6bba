//! Which client instance started this process: the nearest ancestor that is no shell, by its number and the moment of its start.

/// A running client. Two sessions of one program are two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instance(String);

impl Instance {
    /// The one that started this process; `None` where that cannot be told, which it can on Linux.
    pub(crate) fn of_this_process() -> Option<Self> {
        let mut pid = parent(&stat("self")?)?;
        for _ in 0..MOST_SHELLS {
            let stat = stat(&pid.to_string())?;
            if pid <= 1 {
                return None;
            }
            if !PASSERS_ON.contains(&name(&stat)?) {
                return Some(Self(format!("{pid}-{}", field(&stat, START)?)));
            }
            pid = parent(&stat)?;
        }
        None
    }

    /// Fit to be part of a file's name.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

fn stat(pid: &str) -> Option<String> {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()
}

/// `PID (NAME) STATE PPID …`; a name may hold blanks and brackets.
fn name(stat: &str) -> Option<&str> {
    stat.get(stat.find('(')?.saturating_add(1)..stat.rfind(')')?)
}

/// A field after the name, counted from 3 as in proc(5).
fn field(stat: &str, number: usize) -> Option<&str> {
    stat.get(stat.rfind(')')?.saturating_add(1)..)?.split_ascii_whitespace().nth(number.checked_sub(3)?)
}

fn parent(stat: &str) -> Option<u32> {
    field(stat, PARENT)?.parse().ok()
}

const PARENT: usize = 4;
const START: usize = 22;
const MOST_SHELLS: usize = 16;

/// Programs that start another for somebody else.
const PASSERS_ON: [&str; 16] = [
    "sh", "bash", "dash", "ash", "zsh", "fish", "ksh", "mksh", "csh", "tcsh", "busybox", "env", "timeout", "nice",
    "sudo", "xargs",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_proc_is_read_whatever_the_program_is_called() {
        let stat = "77 (a (b) c) S 42 77 77 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 98765 9 9";
        assert_eq!((name(stat), parent(stat), field(stat, START)), (Some("a (b) c"), Some(42), Some("98765")));
        for stat in ["", "77", "77 (", "77 )(", "77 (a)"] {
            assert_eq!(parent(stat), None, "{stat}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_test_is_started_by_somebody() {
        assert_eq!(Instance::of_this_process(), Instance::of_this_process());
    }
}
