//! The machine: who this is, where the store lies, who else could have it, the clocks, the certificates.

use super::Report;
use super::look::{Look, exposed};
use crate::args::VERSION;
use crate::sys;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use unexpired::store::{FileStore, StoreKind, default_dir};

pub(super) fn examine(look: &Look, kind: StoreKind, report: &mut Report) {
    report.ok("version", format!("unexpired {VERSION}"));
    user(look, report);
    if kind == StoreKind::Memory {
        report.ok("store", "memory: no token is kept, and each call mints");
        proxy_keys(report);
    } else {
        store(look, report);
        match kind {
            StoreKind::Keyring => keyring(report),
            _ => records(look, report),
        }
        locks(report);
    }
    clock(report);
    certificates(look, report);
}

fn user(look: &Look, report: &mut Report) {
    let user = sys::user();
    if user == Some(0) && look.is_set("SUDO_USER") {
        report.warn(
            "user",
            "this runs by sudo, with the store and the configuration of root and not yours",
            "run it without sudo, or give services an account of their own",
        );
    } else if let Some(user) = user {
        report.ok("user", if user == 0 { "root".to_owned() } else { format!("uid {user}") });
    }
    let Some(own) = user else { return };
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    match (home_in(&passwd, own), look.var("HOME").map(PathBuf::from)) {
        (Some(listed), Some(set)) if listed != set => {
            let (listed, set) = (listed.display(), set.display());
            report.warn(
                "home",
                format!("HOME is {set}, the passwd entry says {listed}: the configuration is looked for under the first, the store lies under the second"),
                "set HOME to the same, or UNEXPIRED_CONFIG and UNEXPIRED_STORE to absolute paths",
            );
        }
        (Some(listed), _) => report.ok("home", listed.display().to_string()),
        (None, Some(set)) => report.ok("home", format!("{} by HOME: no passwd entry has uid {own}", set.display())),
        (None, None) => report.warn(
            "home",
            format!("no passwd entry has uid {own}, and HOME is not set"),
            "set UNEXPIRED_STORE and UNEXPIRED_CONFIG to absolute paths",
        ),
    }
}

fn store(look: &Look, report: &mut Report) {
    let set = look.var("UNEXPIRED_STORE").filter(|text| text.to_str().and_then(StoreKind::named).is_none());
    if set.is_some() && StoreKind::of_environment().is_none() {
        report.warn("store", "UNEXPIRED_STORE is a relative path and not used", "set it to an absolute path");
    }
    let Some(folder) = default_dir() else {
        report.fail("store", "there is no folder for it: no home is known", "set UNEXPIRED_STORE to a folder of yours");
        return;
    };
    let shown = folder.display();
    match fs::symlink_metadata(&folder) {
        Err(_) => report.ok("store", format!("{shown} is not there yet; the first token makes it")),
        Ok(found) => match sys::own_alone(&found) {
            Err((what, remedy)) => report.fail("store", format!("{shown} {what}"), remedy),
            Ok(()) => report.ok("store", format!("{shown}, yours alone")),
        },
    }
    proxy_keys(report);
    if let Some(kind) = file_system(&folder).filter(|kind| is_shared(kind)) {
        report.warn(
            "store",
            format!("{shown} lies on {kind}, where locks are unreliable and other machines may take part"),
            "set UNEXPIRED_STORE to a folder on a disk of this machine",
        );
    }
    let runner = ["GITHUB_ACTIONS", "GITLAB_CI", "JENKINS_URL", "BUILDKITE", "TF_BUILD", "CI"];
    if set.is_none() && runner.iter().any(|name| look.is_set(name)) {
        report.warn(
            "store",
            "this is a CI job: later jobs of the same user find its tokens",
            "set UNEXPIRED_STORE to a folder of the job, such as one under RUNNER_TEMP",
        );
    }
    for entry in entries(&folder) {
        if entry.to_string_lossy().contains(".unreadable") {
            let what = format!("a damaged record was put aside: {}", entry.display());
            report.warn("store", what, "if a sign-in was lost with it, sign in again; then remove it");
        }
    }
}

/// The proxy's local keys, which lie there whatever the store is.
fn proxy_keys(report: &mut Report) {
    let keys = default_dir().map(|folder| folder.join("proxy-keys.json"));
    if let Some((what, remedy)) = keys.and_then(|keys| exposed(&keys, true)) {
        report.fail("store", what, format!("{remedy}, then unexpired proxy key ROUTE --rotate"));
    }
}

/// Whether the keyring, in which the records are, can be used. No entry is looked at.
#[cfg(feature = "keyring")]
fn keyring(report: &mut Report) {
    use unexpired::store::keyring::{Keyring as _, SystemKeyring};
    match SystemKeyring::new().check() {
        Ok(()) => report.ok("records", "in the keyring, which is unlocked"),
        Err(error) => report.fail("records", error.what(), error.remedy()),
    }
}

#[cfg(not(feature = "keyring"))]
fn keyring(report: &mut Report) {
    report.fail("records", "this build has no keyring", "build it with --features keyring, or set store = \"file\"");
}

fn records(look: &Look, report: &mut Report) {
    let Some(store) = FileStore::records_by_default() else {
        report.ok("records", "none yet");
        return;
    };
    let place = store.records_path();
    let in_memory = ["/run/user", "/dev/shm"].iter().any(|memory| place.starts_with(memory));
    if in_memory || look.is_set("UNEXPIRED_STORE") || !cfg!(target_os = "linux") {
        report.ok("records", place.display().to_string());
    } else {
        report.warn(
            "records",
            format!(
                "{}: access tokens lie on a disk, for neither /run/user/UID nor /dev/shm can be used",
                place.display()
            ),
            "make /dev/shm a tmpfs with mode 1777",
        );
    }
}

/// Who holds a lock now. A lock ends with its process, so only a process that does not go on keeps one for long.
fn locks(report: &mut Report) {
    let Some(folder) = default_dir() else { return };
    let table = fs::read_to_string("/proc/locks").unwrap_or_default();
    let mut held = 0_u32;
    for path in entries(&folder).into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "lock")) {
        let Some(pid) = fs::metadata(&path).ok().and_then(|found| holder(&table, sys::inode(&found)?)) else {
            continue;
        };
        held = held.saturating_add(1);
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let state = status.lines().find_map(|line| line.strip_prefix("State:")).unwrap_or_default().trim().to_owned();
        if state.starts_with(['T', 't', 'Z', 'D']) {
            let what = format!("process {pid} holds {} and does not go on ({state})", path.display());
            report.warn("locks", what, format!("let it go on (kill -CONT {pid}), or end it"));
        }
    }
    match held {
        0 => report.ok("locks", "none is held"),
        1 => report.ok("locks", "1 is held"),
        held => report.ok("locks", format!("{held} are held")),
    }
}

/// `1: FLOCK  ADVISORY  WRITE 4711 fd:01:1234 0 EOF`
fn holder(table: &str, inode: u64) -> Option<u32> {
    table.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let place = words.get(5)?.rsplit(':').next()?;
        (place.parse() == Ok(inode) && !words.contains(&"->")).then(|| words.get(4)?.parse().ok())?
    })
}

fn clock(report: &mut Report) {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    if since < EARLIEST {
        report.fail("clock", "the wall clock stands before 2026", "set it: servers refuse what is signed with it");
    } else {
        report.ok("clock", crate::commands::rfc3339(SystemTime::now()));
    }
}

fn certificates(look: &Look, report: &mut Report) {
    if let Some(file) = look.var("SSL_CERT_FILE").map(PathBuf::from)
        && fs::File::open(&file).is_err()
    {
        let what = format!("SSL_CERT_FILE names {}, which cannot be read", file.display());
        report.fail("certificates", what, "unset it, or put the PEM file there");
        return;
    }
    match unexpired::http::Tls::new().config() {
        Ok(_) => report.ok("certificates", "the system's are found"),
        Err(error) => report.fail("certificates", error.message(), error.remedy_text().unwrap_or("install them")),
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// The kind of file system on which a folder lies, or will.
fn file_system(folder: &Path) -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let there = folder.ancestors().find_map(|path| path.canonicalize().ok())?;
    kind_of(&mounts, &there)
}

/// `36 35 98:0 /root /mount/point options - kind source options`; of several at one point the last is on top.
fn kind_of(mounts: &str, path: &Path) -> Option<String> {
    let parsed = mounts.lines().filter_map(|line| {
        let (front, back) = line.split_once(" - ")?;
        let point = front.split(' ').nth(4)?.replace("\\040", " ");
        Some((PathBuf::from(point), back.split(' ').next()?.to_owned()))
    });
    parsed
        .filter(|(point, _)| path.starts_with(point))
        .max_by_key(|(point, _)| point.components().count())
        .map(|(_, kind)| kind)
}

fn is_shared(kind: &str) -> bool {
    const KINDS: [&str; 13] =
        ["nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "gpfs", "ocfs2", "gfs2", "virtiofs"];
    KINDS.contains(&kind) || (kind.starts_with("fuse.") && kind != "fuse.overlayfs" && kind != "fuse.fuse-overlayfs")
}

/// `name:password:uid:gid:comment:home:shell`
fn home_in(passwd: &str, user: u32) -> Option<PathBuf> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.nth(2)?.parse() == Ok(user)).then_some(())?;
        fields.nth(2).filter(|home| home.starts_with('/')).map(PathBuf::from)
    })
}

/// The beginning of 2026.
const EARLIEST: Duration = Duration::from_secs(1_767_225_600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_system_under_a_path() {
        let mounts = "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n40 22 0:35 / /home rw,nosuid - nfs4 srv:/home rw\n\
                      41 40 0:36 / /home/with\\040blank rw - tmpfs tmpfs rw\n42 22 0:37 / /homes rw - xfs /dev/b rw";
        for (path, kind) in
            [("/home/alice/.local", "nfs4"), ("/home/with blank/x", "tmpfs"), ("/homes/x", "xfs"), ("/var", "ext4")]
        {
            assert_eq!(kind_of(mounts, Path::new(path)).as_deref(), Some(kind), "{path}");
        }
        for (kind, shared) in
            [("nfs4", true), ("cifs", true), ("fuse.sshfs", true), ("ext4", false), ("overlay", false)]
        {
            assert_eq!(is_shared(kind), shared, "{kind}");
        }
    }

    #[test]
    fn who_holds_a_lock() {
        let table = "1: POSIX  ADVISORY  WRITE 11 fd:01:77 0 EOF\n2: FLOCK  ADVISORY  WRITE 4711 fd:01:1234 0 EOF\n2: -> FLOCK ADVISORY WRITE 9 fd:01:1234 0 EOF";
        assert_eq!(holder(table, 1234), Some(4711));
        assert_eq!(holder(table, 34), None);
    }

    #[test]
    fn homes_of_the_passwd_file() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nodd\nalice:x:1000:1000:A:/home/alice:/bin/zsh\nnone:x:7:7:::\n";
        assert_eq!(home_in(passwd, 1000), Some("/home/alice".into()));
        assert_eq!((home_in(passwd, 7), home_in(passwd, 8)), (None, None));
    }
}
