//! What each service manager is given, as files: `crates/cli/tests/forms`. `UPDATE_REFERENCE=1` writes them anew; other programs read them in the tests
//! across crates.

use super::plan::{Plan, Service, Shared};
use super::{launchd, nothing, systemd, task};
use std::path::Path;

fn user() -> Service {
    Service {
        program: "/usr/local/bin/unexpired".to_owned(),
        config: "/home/a user/100% $HOME/\"config\".toml".to_owned(),
        routes: vec!["gov".to_owned(), "own".to_owned()],
        shared: Some(Shared::Port(9000)),
        ports: vec![9001],
        sockets: vec!["/run/user/1000/100% own.sock".to_owned()],
        runs_commands: true,
        store: Some("/home/a user/<state> & keys".to_owned()),
        ..nothing(false)
    }
}

fn system() -> Service {
    Service {
        program: "/usr/local/bin/unexpired".to_owned(),
        config: "/etc/unexpired/config.toml".to_owned(),
        shared: Some(Shared::Port(crate::args::PROXY_PORT)),
        ..nothing(true)
    }
}

fn guarded() -> Service {
    Service {
        shared: Some(Shared::Socket(systemd::SHARED_SOCKET)),
        group: Some("agents".to_owned()),
        uids: vec![1001, 1002],
        credentials: vec![("corp".to_owned(), "/etc/unexpired/corp.secret".to_owned())],
        ..system()
    }
}

#[test]
fn systemd_is_given_a_service_and_its_sockets() {
    let plan = |service: Service| systemd::plan(&service, Path::new("/units"), Path::new("/accounts"));
    check("user", &plan(user()));
    check("system", &plan(system()));
    check("guarded", &plan(guarded()));
}

#[test]
fn launchd_is_given_a_property_list() {
    let plan =
        |service: Service, domain: &str| launchd::plan(&service, Path::new("/lists"), Path::new("/logs"), domain);
    check("agent", &plan(user(), "gui/501"));
    check("daemon", &plan(system(), "system"));
}

#[test]
fn windows_is_given_a_task() {
    let user = Service { program: "C:\\Program Files\\unexpired.exe".to_owned(), ..user() };
    check("logon", &task::plan(&user, Path::new("/tasks"), "DOMAIN\\R&D"));
    check("boot", &task::plan(&system(), Path::new("/tasks"), ""));
}

/// Compares each file, and the commands, with the one in the folder.
fn check(name: &str, plan: &Plan) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/forms").join(name);
    let mut steps = String::new();
    for (title, list) in [("start", &plan.start), ("stop", &plan.stop), ("forget", &plan.forget)] {
        list.iter().for_each(|step| steps.push_str(&format!("{title}: {}\n", step.line().replace('\\', "/"))));
    }
    let files = plan.files.iter().map(|file| (file.path.file_name().unwrap().to_str().unwrap(), file.text.clone()));
    for (file, expected) in files.chain([("commands.txt", steps)]) {
        let path = folder.join(file);
        if std::env::var_os("UPDATE_REFERENCE").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, &expected).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
        assert!(found == expected, "{} is old: UPDATE_REFERENCE=1 cargo test -p unexpired-cli", path.display());
        assert!(super::decoded(expected.as_bytes()) == expected);
    }
}
