//! The proxy under a service manager: what `unexpired service install` writes is read by the programs that it is for, and its command line is run with
//! sockets that systemd's own program hands over.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may fail loudly")]

use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use unexpired_tests::cli::{Client, Lab, unexpired};
use unexpired_tests::clients::on_path;

const LIFE: u32 = 3;

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The configuration: routes to the lab's resource, of which one has a socket of its own, and one a token that a program prints.
fn configure(lab: &Lab, own: &Path) {
    let url = lab.url();
    let printed = format!(
        "env > {home}/seen; exec {program} --config {home}/.config/unexpired/config.toml token corp",
        home = lab.home().display(),
        program = unexpired().display()
    );
    let more = format!(
        "[token.printed]\nprovider = 'command'\ncommand = ['/bin/sh', '-c', '{printed}']\nhosts = ['127.0.0.1']\n\n\
        [route.api]\ntoken = 'corp'\nupstream = '{url}/lab'\n\n\
        [route.printed]\ntoken = 'printed'\nupstream = '{url}/lab'\n\n\
        [route.own]\ntoken = 'corp'\nupstream = '{url}/lab'\nsocket = '{own}'\n",
        own = own.display()
    );
    lab.configure("lab-oauth", &more);
}

fn store(lab: &Lab) -> String {
    lab.home().join("store").to_str().unwrap().to_owned()
}

fn key(lab: &Lab, of: &str) -> String {
    let program = unexpired().to_str().unwrap();
    let printed = lab.run(&[program, "proxy", "key", of], &[("UNEXPIRED_STORE", &store(lab))]);
    assert!(printed.ok, "{}", printed.stderr);
    printed.stdout.trim().to_owned()
}

/// `systemd-socket-activate` with these listeners, which runs `line` at the first connection.
fn activate(lab: &Lab, tool: &str, listeners: &[&str], more: &[&str], line: &[&str]) -> Client {
    let store = format!("UNEXPIRED_STORE={}", store(lab));
    let home = format!("HOME={}", lab.home().display());
    let mut command = vec![tool];
    listeners.iter().for_each(|listener| command.extend(["--listen", listener]));
    command.extend(["-E", &store, "-E", &home]);
    command.extend(more);
    command.push("--");
    command.extend(line);
    let client = lab.start_client(&command, &[]);
    for listener in listeners {
        let is_there = || match listener.strip_prefix("127.0.0.1:") {
            // Not by connecting, which would start it.
            Some(port) => TcpListener::bind(("127.0.0.1", port.parse::<u16>().unwrap())).is_err(),
            None => listener.starts_with('[') || Path::new(listener).exists(),
        };
        let start = Instant::now();
        while !is_there() {
            assert!(start.elapsed() < Duration::from_secs(20), "{listener}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    client
}

/// Status and body.
fn get(lab: &Lab, curl: &str, as_user: &[&str], place: &[&str], key: &str) -> (String, String) {
    let header = format!("authorization: Bearer {key}");
    let mut command = as_user.to_vec();
    command.extend([curl, "--silent", "--noproxy", "*", "--max-time", "20", "--write-out", "\n%{http_code}"]);
    command.extend(["--header", &header]);
    command.extend(place);
    let said = lab.run(&command, &[]);
    let (body, status) = said.stdout.rsplit_once('\n').unwrap_or_else(|| panic!("{}", said.stderr));
    (status.to_owned(), body.to_owned())
}

#[test]
fn sockets_that_are_handed_over_are_served() {
    let (Some(tool), Some(curl)) = (on_path("systemd-socket-activate"), on_path("curl")) else {
        return;
    };
    let lab = Lab::start(LIFE);
    let own = lab.home().join("own.sock");
    configure(&lab, &own);
    let manager = UnixDatagram::bind(lab.home().join("notify")).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let notify = format!("NOTIFY_SOCKET={}", lab.home().join("notify").display());
    let shared = format!("127.0.0.1:{}", free_port());
    let listeners = [shared.as_str(), own.to_str().unwrap()];
    let program = unexpired().to_str().unwrap();
    let keys = ["api", "own", "printed"].map(|route| key(&lab, route));
    let proxy = activate(&lab, &tool, &listeners, &["-E", &notify], &[program, "proxy", "--port", "1"]);

    let at = |path: &str| format!("http://{shared}{path}");
    assert_eq!(get(&lab, &curl, &[], &[&at("/api/check")], &keys[0]).0, "200");
    assert_eq!(told(&manager), "READY=1");
    let socket = ["--unix-socket", own.to_str().unwrap(), "http://x/check"];
    assert_eq!(get(&lab, &curl, &[], &socket, &keys[1]).0, "200");
    assert_eq!(
        get(&lab, &curl, &[], &[&at("/own/check")], &keys[1]).0,
        "404",
        "a route of its own place is only there"
    );
    // Longer than the tokens live.
    std::thread::sleep(Duration::from_secs(u64::from(LIFE) + 1));
    assert_eq!(get(&lab, &curl, &[], &[&at("/api/check")], &keys[0]).0, "200");

    assert_eq!(get(&lab, &curl, &[], &[&at("/printed/check")], &keys[2]).0, "200");
    let seen = fs::read_to_string(lab.home().join("seen")).unwrap();
    assert!(seen.contains("UNEXPIRED_COMMAND=1"), "{seen}");
    assert!(!seen.contains("LISTEN_") && !seen.contains("NOTIFY_SOCKET"), "{seen}");

    proxy.terminate();
    assert_eq!(told(&manager), "STOPPING=1");
    let ended = proxy.finish();
    assert!(ended.ok, "{}", ended.stderr);
    assert!(ended.stderr.contains(&format!("serving unix:{} → ", own.display())), "{}", ended.stderr);
    assert!(own.exists(), "a socket that was handed over is its maker's to remove");
}

#[test]
fn what_cannot_be_served_ends_with_the_remedy() {
    let Some(tool) = on_path("systemd-socket-activate") else { return };
    let lab = Lab::start(LIFE);
    configure(&lab, &lab.home().join("own.sock"));
    let program = unexpired().to_str().unwrap();
    for (datagram, route, said) in
        [(true, "api", "is not listened at"), (false, "own", "every route that is served has another place")]
    {
        let listener = format!("127.0.0.1:{}", free_port());
        let mut command = vec![tool.as_str(), "--listen", &listener];
        command.extend(datagram.then_some("--datagram"));
        let home = format!("HOME={}", lab.home().display());
        command.extend(["-E", &home, "--", program, "proxy", route]);
        let mut proxy = lab.start_client(&command, &[]);
        let start = Instant::now();
        while proxy.runs() {
            // Whatever comes there starts it.
            if datagram {
                let _ = UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"x", &listener);
            } else {
                drop(TcpStream::connect(&listener));
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{said}");
            std::thread::sleep(Duration::from_millis(50));
        }
        let ended = proxy.finish();
        assert!(!ended.ok && ended.stderr.contains(said) && ended.stderr.contains("hint: "), "{}", ended.stderr);
    }
}

/// The unit is installed into this home, and its `ExecStart=` run with its `ListenStream=`s.
#[test]
fn the_units_of_a_user_are_run() {
    let (Some(tool), Some(curl)) = (on_path("systemd-socket-activate"), on_path("curl")) else {
        return;
    };
    let lab = Lab::start(LIFE);
    let own = lab.home().join("own.sock");
    configure(&lab, &own);
    let program = unexpired().to_str().unwrap();
    let port = free_port().to_string();
    let home = lab.home().to_str().unwrap();
    let args = [program, "service", "install", "api", "own", "--port", &port];
    let installed = lab.run(&args, &[("XDG_RUNTIME_DIR", home), ("UNEXPIRED_STORE", &store(&lab))]);
    assert!(installed.ok, "{}", installed.stderr);
    let units = lab.home().join(".config/systemd/user");
    let listeners = values(&units.join(SOCKET), "ListenStream");
    assert_eq!(listeners.len(), 3, "{listeners:?}");
    let has_ipv6 = TcpListener::bind("[::1]:0").is_ok();
    let listeners: Vec<&str> =
        listeners.iter().map(String::as_str).filter(|at| has_ipv6 || !at.starts_with('[')).collect();
    let line = exec_start(&units.join(SERVICE));
    assert_eq!(values(&units.join(SERVICE), "Environment"), [format!("UNEXPIRED_STORE={}", store(&lab))]);
    let keys = ["api", "own"].map(|route| key(&lab, route));
    let _proxy = activate(&lab, &tool, &listeners, &[], &line.iter().map(String::as_str).collect::<Vec<_>>());
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("http://{host}:{port}/api/check");
        assert_eq!(get(&lab, &curl, &[], &[&url], &keys[0]).0, "200", "{host}");
    }
    let socket = ["--unix-socket", own.to_str().unwrap(), "http://x/check"];
    assert_eq!(get(&lab, &curl, &[], &socket, &keys[1]).0, "200");
}

/// The machine's unit: of its command line all but the configuration's place, at a socket that everybody can reach.
#[test]
fn only_the_users_that_the_unit_names_may_connect() {
    let (Some(tool), Some(curl)) = (on_path("systemd-socket-activate"), on_path("curl")) else {
        return;
    };
    let Some(setpriv) = on_path("setpriv") else { return };
    let lab = Lab::start(LIFE);
    if fs::metadata(lab.home()).unwrap().uid() != 0 {
        eprintln!("SKIPPED(setpriv): only root becomes other users");
        return;
    }
    let open = tempfile::tempdir().unwrap();
    fs::set_permissions(open.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let socket = open.path().join("proxy.sock");
    configure(&lab, Path::new("/nowhere/own.sock"));
    let config = lab.home().join(".config/unexpired/config.toml");
    let image = lab.home().join("image");
    fs::create_dir_all(image.join("etc/unexpired")).unwrap();
    // There the secret comes from the service manager.
    let text = fs::read_to_string(&config).unwrap();
    let handed = "client_secret = { file = '/run/credentials/unexpired-proxy.service/corp' }";
    let lines = text.lines().map(|line| if line.starts_with("client_secret") { handed } else { line });
    fs::write(image.join("etc/unexpired/config.toml"), lines.collect::<Vec<_>>().join("\n")).unwrap();
    let program = unexpired().to_str().unwrap();
    let mut install = vec![program, "service", "install", "api", "--system", "--root", image.to_str().unwrap()];
    install.extend(["--program", "/usr/bin/unexpired", "--allow-uid", "12345", "--allow-uid", "12346"]);
    let installed = lab.run(&install, &[]);
    assert!(installed.ok, "{}", installed.stderr);
    let units = image.join("etc/systemd/system");
    assert_eq!(values(&units.join(SOCKET), "ListenStream"), ["/run/unexpired/proxy.sock"]);
    assert_eq!(values(&units.join(SOCKET), "SocketMode"), ["0666"]);
    let mut line = exec_start(&units.join(SERVICE));
    assert_eq!(line[..3], ["/usr/bin/unexpired", "--config", "/etc/unexpired/config.toml"]);
    line[0] = program.to_owned();
    line[2] = config.to_str().unwrap().to_owned();
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    let key_of_api = key(&lab, "api");
    let metrics = key(&lab, "--metrics");
    let proxy = activate(&lab, &tool, &[socket.to_str().unwrap()], &[], &line);
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();

    let place = ["--unix-socket", socket.to_str().unwrap(), "http://x/api/check"];
    for (uid, expected) in [("12345", "200"), ("12347", "403"), ("0", "403"), ("12347", "403"), ("12346", "200")] {
        let as_user = [setpriv.as_str(), "--reuid", uid, "--clear-groups"];
        let (status, body) = get(&lab, &curl, &as_user, &place, &key_of_api);
        assert_eq!(status, expected, "uid {uid}: {body}");
        assert_eq!(body.contains("this user may not connect"), expected == "403", "{body}");
    }
    let place = ["--unix-socket", socket.to_str().unwrap(), "http://x/-/metrics"];
    let as_user = [setpriv.as_str(), "--reuid", "12345", "--clear-groups"];
    let (_, page) = get(&lab, &curl, &as_user, &place, &metrics);
    assert!(page.contains("\nunexpired_proxy_strangers_total 3\n"), "{page}");
    proxy.terminate();
    let ended = proxy.finish();
    assert!(ended.ok, "{}", ended.stderr);
    for uid in ["12347", "0"] {
        let told = format!("refused: a connection of uid {uid}, which --allow-uid does not name");
        assert_eq!(ended.stderr.matches(&told).count(), 1, "{}", ended.stderr);
    }
}

#[test]
fn systemd_understands_the_units_and_finds_little_exposed() {
    let Some(analyze) = on_path("systemd-analyze") else { return };
    let lab = Lab::start(LIFE);
    let runtime = lab.home().to_str().unwrap();
    for form in ["user", "system", "guarded"] {
        let folder = lab.home().join(form);
        fs::create_dir_all(&folder).unwrap();
        for unit in [SERVICE, SOCKET] {
            // The program must be there.
            let text = fs::read_to_string(forms().join(form).join(unit)).unwrap();
            let text = text.replace("/usr/local/bin/unexpired", unexpired().to_str().unwrap());
            fs::write(folder.join(unit), text).unwrap();
        }
        let [service, socket] = [SERVICE, SOCKET].map(|unit| folder.join(unit).to_str().unwrap().to_owned());
        let scope = if form == "user" { "--user" } else { "--system" };
        let verified =
            lab.run(&[&analyze, scope, "--man=no", "verify", &service, &socket], &[("XDG_RUNTIME_DIR", runtime)]);
        assert!(verified.ok, "{}", verified.stderr);
        // What the machine's other units get wrong is not ours.
        assert!(!verified.stderr.contains("unexpired"), "{}", verified.stderr);
        if form != "user" {
            let rated =
                lab.run(&[&analyze, "security", "--offline=yes", "--threshold=20", "--no-pager", &service], &[]);
            assert!(rated.ok, "more than 2.0 of 10 is exposed:\n{}\n{}", rated.stdout, rated.stderr);
        }
    }
}

#[test]
fn other_systems_forms_are_what_their_readers_read() {
    let Some(python) = on_path("python3") else { return };
    let lab = Lab::start(LIFE);
    for (script, form, expected) in [
        (PROPERTY_LIST, "agent/dev.unexpired.proxy.plist", "own /home/a user/<state> & keys None 0"),
        (PROPERTY_LIST, "daemon/dev.unexpired.proxy.plist", "proxy None _unexpired 0"),
        (TASK, "logon/unexpired-proxy.xml", "C:\\Program Files\\unexpired.exe LogonTrigger DOMAIN\\R&D PT0S own"),
        (TASK, "boot/unexpired-proxy.xml", "/usr/local/bin/unexpired BootTrigger S-1-5-19 PT0S proxy"),
    ] {
        let read = lab.run(&[&python, "-c", script, forms().join(form).to_str().unwrap()], &[]);
        assert!(read.ok, "{form}: {}", read.stderr);
        assert_eq!(read.stdout.trim_end(), expected, "{form}");
    }
}

/// The values of a key in a unit.
fn values(unit: &Path, key: &str) -> Vec<String> {
    let text = fs::read_to_string(unit).unwrap();
    text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned).collect()
}

/// The words of the command line; no path of these tests needs quotes.
fn exec_start(unit: &Path) -> Vec<String> {
    let line = values(unit, "ExecStart");
    assert!(line.len() == 1 && !line[0].contains(['"', '%', '$']), "{line:?}");
    line[0].split(' ').map(str::to_owned).collect()
}

fn told(manager: &UnixDatagram) -> String {
    let mut state = [0; 256];
    let length = manager.recv(&mut state).unwrap();
    String::from_utf8_lossy(&state[..length]).into_owned()
}

fn forms() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/cli/tests/forms")
}

const SERVICE: &str = "unexpired-proxy.service";
const SOCKET: &str = "unexpired-proxy.socket";
const PROPERTY_LIST: &str = "
import plistlib, sys
p = plistlib.load(open(sys.argv[1], 'rb'))
assert p['Label'] == 'dev.unexpired.proxy' and p['ProgramArguments'][0] == '/usr/local/bin/unexpired'
assert p['RunAtLoad'] is True and p['KeepAlive'] == {'SuccessfulExit': False} and p['Umask'] == 0o77
environment = p.get('EnvironmentVariables', {}).get('UNEXPIRED_STORE')
print(p['ProgramArguments'][-1], environment, p.get('UserName'), p['HardResourceLimits']['Core'])
";
const TASK: &str = "
import sys, xml.etree.ElementTree as tree
text = open(sys.argv[1], encoding='utf-8').read()
root = tree.fromstring(text.encode('utf-16'))
space = {'t': 'http://schemas.microsoft.com/windows/2004/02/mit/task'}
find = lambda path: root.find(path, space).text
trigger = root.find('t:Triggers/*', space).tag.split('}')[1]
print(find('.//t:Command'), trigger, find('.//t:Principal/t:UserId'), find('.//t:ExecutionTimeLimit'), find('.//t:Arguments').split()[-1])
";
