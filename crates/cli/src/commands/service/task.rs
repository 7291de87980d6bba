//! The form of Windows: a task of its scheduler, at the user's logon, or at the start of the machine as LOCAL SERVICE.

use super::launchd::escaped;
use super::plan::{MARK, Plan, Planned, Service, Step};
use std::path::Path;

/// What is written into `folder`, and the commands that make a task of it. `user` is `DOMAIN\NAME`.
pub(crate) fn plan(service: &Service, folder: &Path, user: &str) -> Plan {
    let path = folder.join("unexpired-proxy.xml");
    let of =
        |verb: &str, more: &[&str]| Step::new("schtasks", [verb, "/tn", TASK].into_iter().chain(more.iter().copied()));
    let create = of("/create", &["/xml", &path.display().to_string(), "/f"]);
    Plan {
        files: vec![Planned { path, text: task(service, user), utf16: true }],
        start: vec![create, of("/run", &[])],
        stop: vec![of("/end", &[]).may_fail(), of("/delete", &["/f"]).may_fail()],
        forget: Vec::new(),
        kept: Vec::new(),
        state: of("/query", &[]),
        log: format!("schtasks /query /tn {TASK} /v /fo list"),
    }
}

fn task(service: &Service, user: &str) -> String {
    let user = escaped(user);
    let trigger = if service.system {
        "<BootTrigger>\n      <Enabled>true</Enabled>\n    </BootTrigger>".to_owned()
    } else {
        format!("<LogonTrigger>\n      <Enabled>true</Enabled>\n      <UserId>{user}</UserId>\n    </LogonTrigger>")
    };
    // LOCAL SERVICE: no rights of an administrator, and no identity on the network.
    let principal = if service.system {
        "<UserId>S-1-5-19</UserId>".to_owned()
    } else {
        format!("<UserId>{user}</UserId>\n      <LogonType>InteractiveToken</LogonType>")
    };
    let arguments: Vec<String> = service.arguments().iter().map(|word| argument(word)).collect();
    let (program, arguments) = (escaped(&service.program), escaped(&arguments.join(" ")));
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-16\"?>
<Task version=\"1.2\" xmlns=\"http://schemas.microsoft.com/windows/2004/02/mit/task\">
  <RegistrationInfo>
    <Description>{MARK}. Requests go on with tokens that are never stale.</Description>
  </RegistrationInfo>
  <Triggers>
    {trigger}
  </Triggers>
  <Principals>
    <Principal id=\"Author\">
      {principal}
      <RunLevel>LeastPrivilege</RunLevel>
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <StartWhenAvailable>true</StartWhenAvailable>
    <RestartOnFailure>
      <Interval>PT1M</Interval>
      <Count>999</Count>
    </RestartOnFailure>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <Hidden>true</Hidden>
  </Settings>
  <Actions Context=\"Author\">
    <Exec>
      <Command>{program}</Command>
      <Arguments>{arguments}</Arguments>
    </Exec>
  </Actions>
</Task>
"
    )
}

/// A word of a command line, as programs on Windows take it apart: backslashes count before a quotation mark only.
fn argument(word: &str) -> String {
    if !word.is_empty() && !word.contains([' ', '\t', '"']) {
        return word.to_owned();
    }
    let mut line = String::from("\"");
    let mut backslashes = 0;
    for c in word.chars() {
        if c == '"' {
            line.extend(std::iter::repeat_n('\\', backslashes + 1));
        }
        backslashes = if c == '\\' { backslashes + 1 } else { 0 };
        line.push(c);
    }
    line.extend(std::iter::repeat_n('\\', backslashes));
    line.push('"');
    line
}

pub(crate) const TASK: &str = "unexpired-proxy";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_as_windows_takes_them_apart() {
        for (word, expected) in [
            ("proxy", "proxy"),
            ("", "\"\""),
            ("C:\\a b\\", "\"C:\\a b\\\\\""),
            ("a\"b", "\"a\\\"b\""),
            ("a\\\"b", "\"a\\\\\\\"b\""),
        ] {
            assert_eq!(argument(word), expected);
        }
    }
}
