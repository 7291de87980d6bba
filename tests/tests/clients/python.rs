//! pip and uv, by a stand-in for `keyring`.

use std::fs;

use unexpired_tests::cli::Lab;
use unexpired_tests::clients::{from_pip, from_pip_as};
use unexpired_tests::resource::{Incoming, Reply, Resource, reply};

use crate::{LIFE, assert_fresh, good, through_lifetimes, write};

/// An index with one package.
fn index(request: &Incoming) -> Reply {
    match request.target.as_str() {
        "/simple/packaged/" => {
            let page = "<!DOCTYPE html><html><body><a href=\"../../packaged-1.2.3-py3-none-any.whl\">packaged-1.2.3-py3-none-any.whl</a></body></html>";
            reply(200, "text/html", page)
        }
        "/packaged-1.2.3-py3-none-any.whl" => reply(200, "application/octet-stream", wheel()),
        _ => reply(404, "text/plain", ""),
    }
}

/// A wheel: a zip of three small files, stored as they are.
fn wheel() -> Vec<u8> {
    let info = "packaged-1.2.3.dist-info";
    let files = [
        ("packaged.py".to_owned(), "NAME = 'packaged'\n".to_owned()),
        (format!("{info}/METADATA"), "Metadata-Version: 2.1\nName: packaged\nVersion: 1.2.3\n".to_owned()),
        (
            format!("{info}/WHEEL"),
            "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n".to_owned(),
        ),
        (format!("{info}/RECORD"), format!("packaged.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")),
    ];
    let (mut body, mut directory) = (Vec::new(), Vec::new());
    for (name, text) in &files {
        let offset = u32::try_from(body.len()).unwrap();
        let size = u32::try_from(text.len()).unwrap().to_le_bytes();
        let length = u16::try_from(name.len()).unwrap().to_le_bytes();
        let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        common.extend(crc32(text.as_bytes()).to_le_bytes());
        common.extend(size);
        common.extend(size);
        common.extend(length);
        common.extend([0, 0]);
        body.extend(b"PK\x03\x04");
        body.extend(&common);
        body.extend(name.as_bytes());
        body.extend(text.as_bytes());
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let start = u32::try_from(body.len()).unwrap().to_le_bytes();
    let size = u32::try_from(directory.len()).unwrap().to_le_bytes();
    let count = u16::try_from(files.len()).unwrap().to_le_bytes();
    body.extend(directory);
    body.extend(b"PK\x05\x06\0\0\0\0");
    body.extend(count);
    body.extend(count);
    body.extend(size);
    body.extend(start);
    body.extend([0, 0]);
    body
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8)
            .fold(crc ^ u32::from(*byte), |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}

#[test]
fn pip_and_uv_ask_the_stand_in_for_keyring() {
    let Some(pip) = from_pip("pip") else { return };
    let Some(uv) = from_pip("uv") else { return };
    let python = from_pip_as("python", "pip").unwrap();
    let lab = Lab::start(LIFE);
    lab.link("keyring");
    let server = Resource::start(None, &["Basic realm=\"r\""], lab.guard(), index);
    let url = format!("http://oauth2accesstoken@{}/simple/", server.authority());
    let quiet = [
        ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
        ("PIP_NO_INPUT", "1"),
        ("UV_KEYRING_PROVIDER", "subprocess"),
        ("UV_NO_CONFIG", "1"),
    ];
    through_lifetimes(|| {
        let _ = fs::remove_dir_all(lab.home().join("got"));
        let got = lab.run(
            &[
                &pip,
                "download",
                "--quiet",
                "--no-cache-dir",
                "--no-deps",
                "--keyring-provider",
                "subprocess",
                "--index-url",
                &url,
                "--dest",
                "got",
                "packaged",
            ],
            &quiet,
        );
        good(&got);
        assert!(lab.home().join("got/packaged-1.2.3-py3-none-any.whl").exists(), "{got:?}");
    });
    assert_fresh(&server);
    let before = server.seen().accepted.len();
    through_lifetimes(|| {
        let _ = fs::remove_dir_all(lab.home().join("target"));
        let got = lab.run(
            &[
                &uv,
                "pip",
                "install",
                "--quiet",
                "--no-cache",
                "--python",
                &python,
                "--target",
                "target",
                "--index-url",
                &url,
                "packaged",
            ],
            &quiet,
        );
        good(&got);
        assert!(lab.home().join("target/packaged.py").exists(), "{got:?}");
    });
    assert!(server.seen().accepted.len() - before >= 3 && server.seen().refused == 0);

    // Without a user name, which uv asks for too where the index says so.
    let config = lab.home().join("uv.toml");
    let index = format!(
        "[[index]]\nname = 'corp'\nurl = '{}/simple/'\ndefault = true\nauthenticate = 'always'\n",
        server.url()
    );
    write(&config, &index);
    let _ = fs::remove_dir_all(lab.home().join("target"));
    let quiet = [("UV_KEYRING_PROVIDER", "subprocess"), ("UV_CONFIG_FILE", config.to_str().unwrap())];
    let (bare, refused) = (server.seen().bare, server.seen().refused);
    let install = ["pip", "install", "--quiet", "--no-cache", "--python", &python, "--target", "target", "packaged"];
    good(&lab.run(&[&[uv.as_str()], &install[..]].concat(), &quiet));
    assert!(lab.home().join("target/packaged.py").exists());
    assert_eq!((server.seen().bare, server.seen().refused), (bare, refused), "it asked before it went");
}
