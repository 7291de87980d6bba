//! All that is particular to one operating system in this crate: who may change a file, and where configurations lie.

#[cfg(feature = "config")]
use std::fs::File;
use std::fs::Metadata;
#[cfg(any(feature = "config", feature = "google"))]
use std::path::PathBuf;

/// Who could have written a file that decides where secrets go and which commands run.
#[cfg(all(unix, feature = "config"))]
pub(crate) fn check_config_file(file: &File) -> Result<(), (String, &'static str)> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = match file.metadata() {
        Ok(metadata) => metadata,
        Err(error) => return Err((format!("cannot be looked at: {}", error.kind()), "check the folder's permissions")),
    };
    let own = rustix::process::geteuid().as_raw();
    check_ownership(&metadata, own, |gid| {
        is_private_group(gid, metadata.uid(), &read("/etc/passwd"), &read("/etc/group"))
    })
}

#[cfg(all(unix, feature = "config"))]
fn check_ownership(
    metadata: &Metadata,
    own: u32,
    is_private: impl Fn(u32) -> bool,
) -> Result<(), (String, &'static str)> {
    use std::os::unix::fs::MetadataExt as _;
    if !metadata.is_file() {
        return Err(("is no regular file".to_owned(), "name a file"));
    }
    let (owner, mode) = (metadata.uid(), metadata.mode());
    if owner != own && owner != 0 {
        return Err((format!("belongs to another user (uid {owner})"), "make the file your own: copy it, or chown it"));
    }
    if mode & 0o002 != 0 {
        return Err(("can be written by everybody".to_owned(), "run chmod go-w on it"));
    }
    if mode & 0o020 != 0 && !is_private(metadata.gid()) {
        return Err((format!("can be written by a group (gid {})", metadata.gid()), "run chmod g-w on it"));
    }
    Ok(())
}

/// Windows keeps the user's profile to the user; its access lists are not looked at.
#[cfg(all(not(unix), feature = "config"))]
pub(crate) fn check_config_file(file: &File) -> Result<(), (String, &'static str)> {
    match file.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(_) => Err(("is no regular file".to_owned(), "name a file")),
        Err(error) => Err((format!("cannot be looked at: {}", error.kind()), "check the folder's permissions")),
    }
}

/// Whether nobody but `owner` is in the group `gid`, by the texts of `/etc/passwd` and `/etc/group`. A group that is not in them (it may come
/// from a directory service) is not private.
#[cfg(all(unix, feature = "config"))]
fn is_private_group(gid: u32, owner: u32, passwd: &str, group: &str) -> bool {
    let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
    let number = |field: Option<&String>| field.and_then(|text| text.parse::<u32>().ok());
    // name:password:uid:gid:…
    let users: Vec<(String, u32, u32)> = passwd
        .lines()
        .map(fields)
        .filter_map(|f| Some((f.first()?.clone(), number(f.get(2))?, number(f.get(3))?)))
        .collect();
    let owners_names = |name: &str| users.iter().any(|(user, uid, _)| user == name && *uid == owner);
    let is_primary = users.iter().any(|(_, uid, primary)| *uid == owner && *primary == gid);
    let others = users.iter().any(|(_, uid, primary)| *uid != owner && *primary == gid);
    // name:password:gid:members
    let mut entries = group.lines().map(fields).filter(|f| number(f.get(2)) == Some(gid)).peekable();
    let listed = entries.peek().is_some();
    let members_fit = entries.all(|f| {
        let members = f.get(3).map(String::as_str).unwrap_or_default();
        members.split(',').map(str::trim).filter(|name| !name.is_empty()).all(owners_names)
    });
    is_primary && !others && listed && members_fit
}

#[cfg(all(unix, feature = "config"))]
fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Whether everybody may read a file.
#[cfg(all(unix, feature = "config"))]
pub(crate) fn is_world_readable(metadata: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    metadata.mode() & 0o004 != 0
}

#[cfg(all(not(unix), feature = "config"))]
pub(crate) fn is_world_readable(_metadata: &Metadata) -> bool {
    false
}

/// Where the file lies on its disk: another number after it was replaced.
#[cfg(unix)]
pub(crate) fn file_number(metadata: &Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    metadata.ino() ^ metadata.dev().rotate_left(32)
}

#[cfg(not(unix))]
pub(crate) fn file_number(_metadata: &Metadata) -> u64 {
    0
}

/// Options for a new file that only its owner may read.
#[cfg(feature = "config")]
pub(crate) fn private_file() -> std::fs::OpenOptions {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes a rename in `folder` durable. Windows has no such call.
#[cfg(feature = "config")]
pub(crate) fn sync_folder(folder: &std::path::Path) -> std::io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// The folder of the user's configurations.
#[cfg(feature = "config")]
pub(crate) fn config_folder(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || absolute("HOME").or_else(std::env::home_dir).filter(|path| path.is_absolute());
    // The XDG specification: a relative path counts as unset.
    if let Some(folder) = absolute("XDG_CONFIG_HOME") {
        return Some(folder);
    }
    if cfg!(windows) {
        absolute("APPDATA")
    } else if cfg!(target_vendor = "apple") {
        home().map(|home| home.join("Library/Application Support"))
    } else {
        home().map(|home| home.join(".config"))
    }
}

/// The folder in which `gcloud` keeps its files.
#[cfg(feature = "google")]
pub(crate) fn gcloud_folder(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    if let Some(folder) = variable("CLOUDSDK_CONFIG") {
        return Some(PathBuf::from(folder));
    }
    if cfg!(windows) {
        return variable("APPDATA").map(|folder| PathBuf::from(folder).join("gcloud"));
    }
    variable("HOME").map(PathBuf::from).or_else(std::env::home_dir).map(|home| home.join(".config").join("gcloud"))
}

#[cfg(all(test, unix, feature = "config"))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    const PASSWD: &str =
        "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\nbob:x:1001:1001::/:/bin/sh\nbroken\n";

    #[test]
    fn a_group_is_private_if_nobody_else_is_in_it() {
        for (group, private) in [
            ("alice:x:1000:", true),
            ("alice:x:1000:alice", true),
            ("alice:x:1000:alice,bob", false),
            ("alice:x:1000:carol", false),
            ("bob:x:1001:", false),
            ("", false),
            ("alice:x:1000:\nalice2:x:1000:bob", false),
        ] {
            assert_eq!(is_private_group(1000, 1000, PASSWD, group), private, "{group}");
        }
        let shared = "alice:x:1000:100::/:/bin/sh\nbob:x:1001:100::/:/bin/sh";
        assert!(!is_private_group(100, 1000, shared, "users:x:100:"));
        assert!(!is_private_group(1000, 1000, "", "alice:x:1000:"));
    }

    #[test]
    fn ownership_and_modes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        std::fs::write(&path, "").unwrap();
        let check = |mode: u32, own: Option<u32>, private: bool| {
            use std::os::unix::fs::MetadataExt as _;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let metadata = std::fs::metadata(&path).unwrap();
            check_ownership(&metadata, own.unwrap_or(metadata.uid()), |_| private).map_err(|(what, _)| what)
        };
        for mode in [0o600, 0o644, 0o400, 0o640] {
            assert_eq!(check(mode, None, false), Ok(()));
        }
        assert_eq!(check(0o660, None, true), Ok(()));
        assert!(check(0o660, None, false).unwrap_err().contains("by a group"));
        assert!(check(0o666, None, true).unwrap_err().contains("by everybody"));
        assert!(check(0o602, None, true).unwrap_err().contains("by everybody"));
        // A file of root is anybody's to use; these tests may run as root or not.
        let root = {
            use std::os::unix::fs::MetadataExt as _;
            std::fs::metadata(&path).unwrap().uid() == 0
        };
        assert_eq!(check(0o644, Some(4242), false).is_ok(), root);
    }
}
