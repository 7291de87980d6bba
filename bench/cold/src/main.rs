//! Runs the command and the bare program in turns, as whole processes, and prints best and median with their ratio; with `unexpired`'s path as
//! the argument. Instructions are callgrind's where valgrind is installed.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;
use unexpired_testkit::IdentityProvider;
use unexpired_testkit::defaults::{CLIENT_ID, CLIENT_SECRET};

const ROUNDS: usize = 200;

fn main() {
    let command = std::env::args().nth(1).expect("the path of `unexpired`");
    let floor = std::env::current_exe().expect("a path").with_file_name("floor");
    let server = IdentityProvider::builder().https().blocking_start().expect("an identity provider");
    let base = server.https_url().expect("https").to_owned();
    let ca = server.ca_file().expect("a CA file");
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret");
    write(&secret, CLIENT_SECRET);
    let config = folder.path().join("config.toml");
    // Tokens lie in memory, as they do by default where there is such a place.
    let memory = Some(Path::new("/dev/shm")).filter(|place| place.is_dir());
    let memory = memory.map_or_else(tempfile::tempdir, tempfile::tempdir_in).expect("a folder");
    let store = memory.path().join("store");
    let token = |name: &str, roots: &str| {
        format!(
            "[token.{name}]\nprovider = \"oauth\"\ntoken_url = \"{base}/oauth2/token\"\nclient_id = \"{CLIENT_ID}\"\n\
             client_secret = {{ file = \"{}\" }}\nclient_auth = \"client_secret_post\"\nca_file = \"{}\"\n{roots}\n",
            secret.display(),
            ca.display()
        )
    };
    write(&config, &format!("{}{}", token("system", "roots = \"system\""), token("bundled", "roots = \"bundled\"")));
    let address = base.trim_start_matches("https://").replace("localhost", "127.0.0.1");
    let body = format!("grant_type=client_credentials&client_id={CLIENT_ID}&client_secret={CLIENT_SECRET}");
    println!("| roots | | best ms | median ms | M instructions |\n|---|---|---|---|---|");
    for (roots, floor_roots) in [("system", "system"), ("bundled", "none")] {
        let ours = || unexpired(Path::new(&command), roots, &config, &store);
        let bare = || process(&floor, &[&address, "/oauth2/token", ca.to_str().expect("text"), floor_roots, &body]);
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            times[0].push(time(bare()));
            empty(&store);
            times[1].push(time(ours()));
        }
        let figures: Vec<(f64, f64)> = times
            .iter_mut()
            .map(|times| {
                times.sort_by(f64::total_cmp);
                (times[0], times[ROUNDS / 2])
            })
            .collect();
        empty(&store);
        let instructions = [instructions(bare()), instructions(ours())];
        let shown = |n: Option<f64>| n.map_or("-".into(), |n| format!("{:.2}", n / 1e6));
        println!("| {roots} | bare hyper + rustls on ring | {:.2} | {:.2} | {} |", figures[0].0, figures[0].1, shown(instructions[0]));
        println!("| {roots} | `unexpired token` | {:.2} | {:.2} | {} |", figures[1].0, figures[1].1, shown(instructions[1]));
        let ratio = instructions[0].zip(instructions[1]).map_or("-".into(), |(a, b)| format!("{:.2}", b / a));
        println!("| {roots} | ratio | {:.2} | {:.2} | {ratio} |", figures[1].0 / figures[0].0, figures[1].1 / figures[0].1);
    }
    warm(Path::new(&command), &config, &store, folder.path());
    let size = std::fs::metadata(&command).expect("the command").len() as f64 / 1e6;
    println!("\nThe command is {size:.1} MB. {ROUNDS} runs of each, in turns.");
}

/// A token that is kept, beside a program that prints a file.
fn warm(command: &Path, config: &Path, store: &Path, folder: &Path) {
    let kept = folder.join("kept");
    std::fs::write(&kept, unexpired(command, "system", config, store).output().expect("a process").stdout).expect("a file");
    let print = std::env::current_exe().expect("a path").with_file_name("print-file");
    let bare = || process(&print, &[kept.to_str().expect("text")]);
    let ours = || unexpired(command, "system", config, store);
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS * 2 {
        times[0].push(time(bare()));
        times[1].push(time(ours()));
    }
    times.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
    println!("\n| warm | best ms | median ms | M instructions | KiB |\n|---|---|---|---|---|");
    let shown = |n: Option<f64>, by: f64| n.map_or("-".into(), |n| format!("{:.2}", n / by));
    for (name, times, program) in [("a program that prints a file", &times[0], bare()), ("`unexpired token`", &times[1], ours())] {
        let memory = peak(&program);
        let counted = instructions(program);
        println!("| {name} | {:.2} | {:.2} | {} | {} |", times[0], times[ROUNDS], shown(counted, 1e6), memory.map_or("-".into(), |n| n.to_string()));
    }
    println!("| ratio | {:.2} | {:.2} | | |", times[1][0] / times[0][0], times[1][ROUNDS] / times[0][ROUNDS]);
}

fn unexpired(command: &Path, name: &str, config: &Path, store: &Path) -> Command {
    let mut command = process(command, &["token", name, "--config", config.to_str().expect("text")]);
    command.env("UNEXPIRED_STORE", store);
    command
}

/// Nothing is kept any more.
fn empty(store: &Path) {
    let _ = std::fs::remove_dir_all(store);
}

/// The most memory that a process has, in KiB, where GNU time is installed.
fn peak(program: &Command) -> Option<u64> {
    let mut time = Command::new("/usr/bin/time");
    time.args(["-f", "%M"]).arg(program.get_program()).args(program.get_args()).env_clear();
    for (name, value) in program.get_envs() {
        time.env(name, value.unwrap_or_default());
    }
    let output = time.output().ok()?;
    String::from_utf8_lossy(&output.stderr).trim().lines().last()?.parse().ok()
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a file");
    #[cfg(unix)]
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("rights");
}

fn process(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

fn time(mut command: Command) -> f64 {
    let start = Instant::now();
    let output = command.output().expect("a process");
    let took = start.elapsed().as_secs_f64() * 1000.0;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    took
}

fn instructions(command: Command) -> Option<f64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(command.get_program())
        .args(command.get_args())
        .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.lines().find_map(|line| line.split_once("Collected : ")).and_then(|(_, n)| n.trim().parse().ok())
}
