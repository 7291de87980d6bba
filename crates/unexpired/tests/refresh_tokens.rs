//! Rotating refresh tokens by the configuration file, over processes and over their deaths.
#![cfg(feature = "config")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout, reason = "a test")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use unexpired::config::Config;

/// Where the configuration gets the refresh token from: both ways that it knows.
const WAYS: [&str; 2] = ["refresh_token = { file = 'FILE' }", "refresh_token_file = 'FILE'"];

#[test]
fn each_process_goes_on_where_the_last_one_ended() {
    for way in WAYS {
        let home = Home::new(way, Server::start(false));
        for number in 2..6 {
            assert_eq!(home.mint(), format!("at-{number}"), "{way}");
            // Durable before it is handed out: a file, and none that is on its way.
            assert!(home.on_disk().contains(&format!("rt-{number}")), "{way}");
        }
        let configured = fs::read_to_string(home.file()).unwrap();
        assert_eq!(configured, if way.starts_with("refresh_token_file") { "rt-5\n" } else { "rt-1\n" });
        assert_eq!(home.server.presented(), ["rt-1", "rt-2", "rt-3", "rt-4"]);
    }
}

#[test]
fn processes_that_start_together_take_turns() {
    for way in WAYS {
        let home = Home::new(way, Server::start(false));
        let children: Vec<Child> = (0..6).map(|_| home.start()).collect();
        let mut tokens: Vec<String> = children.into_iter().map(answer).collect();
        tokens.sort_unstable();
        assert_eq!(tokens, ["at-2", "at-3", "at-4", "at-5", "at-6", "at-7"], "{way}");
    }
}

#[test]
fn a_process_that_is_killed_after_the_answer_costs_no_sign_in() {
    for way in WAYS {
        // Before, in the middle of and after what is written to the disk.
        let home = Home::new(way, Server::start(true));
        for round in 0..24 {
            home.server.answered();
            let mut dies = home.start();
            home.server.wait_for_an_answer();
            std::thread::sleep(Duration::from_micros(60 * round));
            dies.kill().unwrap();
            dies.wait().unwrap();
            // What it had got is on the disk, or is asked for once more.
            let token = home.mint();
            let newest = home.server.newest();
            assert_eq!(token, format!("at-{newest}"), "{way}, round {round}");
            assert!(home.on_disk().contains(&format!("rt-{newest}")), "{way}, round {round}");
        }
        assert_eq!(home.server.refused(), 0, "{way}: no token that was used up is presented");
    }
}

#[test]
fn a_new_sign_in_leaves_nothing_of_the_old_one_on_the_disk() {
    for way in WAYS {
        let home = Home::new(way, Server::start(false));
        home.mint();
        home.mint();
        home.server.sign_in(1000);
        fs::write(home.file(), "rt-1000\n").unwrap();
        assert_eq!(home.mint(), "at-1001", "{way}");
        let left = home.on_disk();
        assert!(left.contains("rt-1001") && !left.contains("rt-3"), "{way}: {left}");
    }
}

/// Not a test: what the processes do that the tests start.
#[test]
fn child() {
    let Some(config) = std::env::var_os(CHILD) else { return };
    let config = Config::load(Path::new(&config)).unwrap();
    let token = config.manager("t").unwrap().build().blocking_token();
    println!("\nminted {}", token.map_or_else(|error| error.to_string(), |token| token.secret().to_owned()));
}

const CHILD: &str = "UNEXPIRED_TEST_CHILD";

fn answer(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    stdout.lines().find_map(|line| line.strip_prefix("minted ")).unwrap_or_else(|| panic!("{stdout}")).to_owned()
}

/// A folder with a configuration, a refresh token and a state folder.
struct Home {
    folder: tempfile::TempDir,
    server: Server,
}

impl Home {
    fn new(way: &str, server: Server) -> Self {
        let home = Self { folder: tempfile::tempdir().unwrap(), server };
        fs::write(home.file(), "rt-1\n").unwrap();
        let way = way.replace("FILE", home.file().to_str().unwrap());
        let config = format!(
            "[token.t]\nprovider = 'oauth'\ngrant = 'refresh_token'\ntoken_url = 'http://127.0.0.1:{}/token'\nclient_id = 'c'\n{way}\n",
            home.server.port
        );
        fs::write(home.config(), config).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(home.config(), fs::Permissions::from_mode(0o600)).unwrap();
        }
        home
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("rt")
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("c.toml")
    }

    fn start(&self) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(CHILD, self.config())
            .env("UNEXPIRED_STORE", self.folder.path().join("state"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// What a process of its own gets.
    fn mint(&self) -> String {
        answer(self.start())
    }

    /// All that is in the files beside the configuration.
    fn on_disk(&self) -> String {
        let mut text = String::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    text.push_str(&fs::read_to_string(&path).unwrap());
                    text.push('\n');
                }
            }
        }
        text
    }
}

/// A token endpoint that rotates `rt-1`, `rt-2`, … A forgiving one answers a repeated request as it did the first time.
struct Server {
    port: u16,
    state: Arc<Mutex<State>>,
    answers: Receiver<()>,
}

struct State {
    newest: u32,
    presented: Vec<String>,
    refused: u32,
}

impl Server {
    fn start(forgiving: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State { newest: 1, presented: Vec::new(), refused: 0 }));
        let (answered, answers) = channel();
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serve(stream, &shared, forgiving, &answered);
            }
        });
        Self { port, state, answers }
    }

    fn presented(&self) -> Vec<String> {
        self.state.lock().unwrap().presented.clone()
    }

    fn newest(&self) -> u32 {
        self.state.lock().unwrap().newest
    }

    fn refused(&self) -> u32 {
        self.state.lock().unwrap().refused
    }

    fn sign_in(&self, number: u32) {
        self.state.lock().unwrap().newest = number;
    }

    /// Forgets the answers so far.
    fn answered(&self) {
        while self.answers.try_recv().is_ok() {}
    }

    fn wait_for_an_answer(&self) {
        self.answers.recv_timeout(Duration::from_secs(30)).unwrap();
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>, forgiving: bool, answered: &Sender<()>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut length, mut line) = (0, String::new());
    while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let body = String::from_utf8(body).unwrap();
    let presented = body.split('&').find_map(|pair| pair.strip_prefix("refresh_token=")).unwrap().to_owned();
    let mut state = state.lock().unwrap();
    state.presented.push(presented.clone());
    if presented == format!("rt-{}", state.newest) {
        state.newest += 1;
    } else if !(forgiving && presented == format!("rt-{}", state.newest - 1)) {
        state.refused += 1;
    }
    let body = if state.refused > 0 {
        r#"{"error":"invalid_grant"}"#.to_owned()
    } else {
        format!(
            r#"{{"access_token":"at-{0}","token_type":"Bearer","expires_in":600,"refresh_token":"rt-{0}"}}"#,
            state.newest
        )
    };
    drop(state);
    let status = if body.contains("error") { "400 Bad Request" } else { "200 OK" };
    let _ = write!(stream, "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let _ = answered.send(());
}
