//! What the parser accepts, and what it says to what it does not.

use super::*;

const PREFIX: &str = "[token.t]\nprovider = \"ibm\"\napi_key = { env = \"K\" }\n";
const ROUTE: &str = "[route.r]\ntoken = 't'\nupstream = 'https://a.example.com/v1'\n";
const ENTRA: &str = "[token.t]\nprovider = 'entra'\ntenant = 'contoso.onmicrosoft.com'\nclient_id = 'aaaaaaaa-0000-4000-8000-000000000001'\nclient_secret = { file = '/s' }\nscope = 'https://vault.azure.net/.default'\n";
const OAUTH: &str = "[token.t]\nprovider = 'oauth'\ntoken_url = 'https://as.example.com/token'\nclient_id = 'c'\nclient_secret = { env = 'S' }\n";

fn error_of(text: &str) -> String {
    match Config::parse(text, "c.toml") {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => {
            assert!(error.to_string().chars().count() <= 300, "{error}");
            error.to_string()
        }
    }
}

#[test]
fn errors_name_file_line_key_and_remedy() {
    let rows: &[(&str, &str)] = &[
        ("[tokens.x]", "c.toml:1: tokens: there is no such key; did you mean `token`?"),
        ("\n\n[other]", "c.toml:3: other: there is no such key; known here: token, route, store"),
        ("scope = 'x'", "c.toml:1: scope: this key stands outside of a token; put it under [token.NAME]"),
        (
            "[token]\nprovider = 'ibm'",
            "c.toml:2: token.provider: must be a table, and is a string; give it a name: [token.NAME]",
        ),
        ("token = 1", "c.toml:1: token: must be a table, and is a number; write [token.NAME]"),
        (
            "[token.'-x']",
            "c.toml:1: token.-x: no such name can be; names are up to 64 letters, digits, '-', '_' and '.', and begin with a letter or a digit",
        ),
        ("[token.t]", "c.toml:1: token.t.provider: is missing; add provider = \"entra\""),
        (
            "[token.t]\nprovider = 'gcp'",
            "c.toml:2: token.t.provider: there is no such value; write one of \"entra\", \"google\", \"ibm\", \"oauth\", \"command\"",
        ),
        (
            "[token.t]\nprovider = 'Entra'",
            "c.toml:2: token.t.provider: there is no such value; did you mean \"entra\"?",
        ),
        (
            "[token.t]\nprovider = 'ibm'",
            "c.toml:1: token.t.api_key: is missing; add api_key = { env = \"CORP_IBM_KEY\" }",
        ),
        (
            "[token.t]\nprovider = 'ibm'\napikey = { env = 'K' }",
            "c.toml:3: token.t.apikey: there is no such key; did you mean `api_key`?",
        ),
        (
            "[token.t]\nprovider = 'ibm'\napi_key = 'hunter2'",
            "c.toml:3: token.t.api_key: a secret does not stand in this file; write { file = \"/path\" }, { env = \"NAME\" } or { command = [\"program\", \"argument\"] }",
        ),
        (
            "[token.t]\nprovider = 'ibm'\napi_key = {}",
            "c.toml:3: token.t.api_key: the secret reference is empty; write { file = \"/path\" }, { env = \"NAME\" } or { command = [\"program\", \"argument\"] }",
        ),
        (
            "[token.t]\nprovider = 'ibm'\napi_key = { env = 'K', file = '/k' }",
            "c.toml:3: token.t.api_key: the secret reference names more than one place; write { file = \"/path\" }, { env = \"NAME\" } or { command = [\"program\", \"argument\"] }",
        ),
        (
            "[token.t]\nprovider = 'ibm'\napi_key = { file = 'k' }",
            "c.toml:3: token.t.api_key.file: is no path from the root; write the whole path, beginning at the root",
        ),
        (
            "[token.t]\nprovider = 'ibm'\napi_key = { fiel = '/k' }",
            "c.toml:3: token.t.api_key.fiel: there is no such key; did you mean `file`?",
        ),
        (
            "[token.t]\nprovider = 'ibm'\napi_key = { env = 'hunter-2' }",
            "c.toml:3: token.t.api_key.env: is no name of an environment variable; write it as env = \"CORP_SECRET\"",
        ),
        (
            "[token.t]\nprovider = 'ibm'\napi_key = { keyring = 'hunter2' }",
            if cfg!(feature = "keyring") {
                "c.toml:3: token.t.api_key.keyring: is not of the form SERVICE/ACCOUNT; write it as keyring = \"corp/ci-bot\""
            } else {
                "c.toml:3: token.t.api_key.keyring: this build has no keyring; build it with --features keyring, or write { file = \"/path\" } or { env = \"NAME\" }"
            },
        ),
        ("store = 'memroy'", "c.toml:1: store: there is no such value; did you mean \"memory\"?"),
        (
            "store = '/srv/state'",
            "c.toml:1: store: there is no such value; write one of \"file\", \"keyring\", \"memory\"",
        ),
        (
            "store = true",
            "c.toml:1: store: must be a string, and is true or false; write one of \"file\", \"keyring\", \"memory\"",
        ),
        ("stor = 'file'", "c.toml:1: stor: there is no such key; did you mean `store`?"),
        (
            "[token.t]\nprovider = 'ibm'\napi_key = { command = 'pass' }",
            "c.toml:3: token.t.api_key.command: must be an array of strings, and is a string; write it as command = [\"pass\", \"show\", \"corp\"]",
        ),
        (
            "[token.t]\nprovider = 'ibm'\napi_key = { command = ['./pass'] }",
            "c.toml:3: token.t.api_key.command: command: the program ./pass is a relative path; write its absolute path, or its bare name to have it looked up in PATH",
        ),
        ("P\nhost = ['a.example.com']", "c.toml:4: token.t.host: there is no such key; did you mean `hosts`?"),
        (
            "P\nhosts = 'a.example.com'",
            "c.toml:4: token.t.hosts: must be an array of strings, and is a string; write it as hosts = [\"*.openai.azure.us\"]",
        ),
        (
            "P\nhosts = [\n'a.example.com',\n'*'\n]",
            "c.toml:6: token.t.hosts: is no host pattern; a star stands for whole labels and only at the front: *.example.com",
        ),
        (
            "P\nhosts = ['https://a.example.com/v1']",
            "c.toml:4: token.t.hosts: is no host pattern; write the host alone, without scheme and path",
        ),
        (
            "P\nhosts = []",
            "c.toml:4: token.t.hosts: is empty; remove it, or write it as hosts = [\"*.openai.azure.us\"]",
        ),
        (
            "P\nmin_ttl = 600",
            "c.toml:4: token.t.min_ttl: must be a duration, and is a number; write it as \"10m\", \"90s\" or \"1h30m\"",
        ),
        (
            "P\nmin_ttl = '10 minutes'",
            "c.toml:4: token.t.min_ttl: is no duration of more than nothing; write it as \"10m\", \"90s\" or \"1h30m\"",
        ),
        (
            "P\nexport = true",
            "c.toml:4: token.t.export: must be a string, and is true or false; write one of \"allowed\", \"never\"",
        ),
        ("P\nroots = 'bundeld'", "c.toml:4: token.t.roots: there is no such value; did you mean \"bundled\"?"),
        (
            "P\nca_file = 'ca.pem'",
            "c.toml:4: token.t.ca_file: is no path from the root; write the whole path, beginning at the root",
        ),
        (
            "P\nendpoint = 'http://iam.example.com'",
            "c.toml:4: token.t.endpoint: iam.example.com: plain HTTP would show the credential to the network; use https://",
        ),
        (
            "P\nendpoint = 'http://169.254.169.254'",
            "c.toml:4: token.t.endpoint: plain HTTP is for loopback only; write https://",
        ),
        (
            "P\ntenant = 'x'",
            "c.toml:4: token.t.tenant: is a key of entra, and the provider is ibm; remove it, or correct provider",
        ),
        (
            "P\nclient_secret = { env = 'X' }",
            "c.toml:4: token.t.client_secret: is a key of entra, oauth, and the provider is ibm; use api_key",
        ),
        (
            "P\ntoken_url = 'https://x.example'",
            "c.toml:4: token.t.token_url: is a key of google, oauth, and the provider is ibm; use endpoint",
        ),
        (
            "P\nfallback_on = ['denied']",
            "c.toml:4: token.t.fallback_on: there is no fallback; add a fallback, or remove fallback_on",
        ),
        (
            "P\nfallback = 'command'",
            "c.toml:4: token.t.fallback: must be a table, and is a string; write [token.t.fallback] and its keys below",
        ),
        (
            "P\n[token.t.fallback]\nprovider = 'command'",
            "c.toml:4: token.t.fallback.command: is missing; add command or shell",
        ),
        (
            "P\n[token.t.fallback]\nprovider = 'command'\nshell = 'x'\nhosts = ['a.example']",
            "c.toml:7: token.t.fallback.hosts: a fallback has no such key; put it with the token itself",
        ),
        (
            "P\nfallback_on = ['denied', 'deniedd']\nfallback = { provider = 'command', shell = 'x' }",
            "c.toml:4: token.t.fallback_on: there is no such value; did you mean \"denied\"?",
        ),
        (
            "P\nscope = ''",
            "c.toml:4: token.t.scope: is empty; write it as scope = \"https://cognitiveservices.azure.us/.default\"",
        ),
        ("E\nscopes = 'x'", "c.toml:7: token.t.scopes: there is no such key; did you mean `scope`?"),
        (
            "E\naudience = 'x'",
            "c.toml:7: token.t.audience: is a key of google, oauth, and the provider is entra; remove it, and write it as scope = \"RESOURCE/.default\"",
        ),
        (
            "E\ncloud = 'us-gov'",
            "c.toml:7: token.t.cloud: there is no such value; write one of \"public\", \"us-government\", \"china\"",
        ),
        (
            "E\ncloud = 'china'",
            "c.toml:3: token.t.tenant: entra at login.partner.microsoftonline.cn: the tenant does not live in the china cloud, and the authority is the china cloud's; set cloud to public, or tenant to the one in china",
        ),
        (
            "[token.t]\nprovider = 'entra'\ntenant = 'x'\nclient_id = 'y'",
            "c.toml:1: token.t.client_secret: is missing; add client_secret = { file = \"/path\" }, { env = \"NAME\" } or { command = [\"program\"] }",
        ),
        (
            "O\nissuer = 'https://as.example.com'",
            "c.toml:3: token.t.token_url: stands beside issuer; remove one of them",
        ),
        (
            "[token.t]\nprovider = 'oauth'\ntoken_url = 'http://x.example/t'\nclient_id = 'c'\nclient_secret = { env = 'S' }",
            "c.toml:3: token.t.token_url: x.example: plain HTTP would show the credential to the network; use https://",
        ),
        (
            "[token.t]\nprovider = 'oauth'\ntokenurl = 'https://x.example/t'\nclient_id = 'c'\nclient_secret = { env = 'S' }",
            "c.toml:3: token.t.tokenurl: there is no such key; did you mean `token_url`?",
        ),
        (
            "O\ngrant = 'refresh_token'\nrefresh_token_file = 'rel'",
            "c.toml:7: token.t.refresh_token_file: is no path from the root; write the whole path, beginning at the root",
        ),
        (
            "O\ngrant = 'refresh_token'",
            "c.toml:1: token.t.refresh_token: is missing; add refresh_token or refresh_token_file",
        ),
        (
            "O\nrefresh_token = { env = 'R' }",
            "c.toml:6: token.t.refresh_token: belongs to another grant than client_credentials; add grant = \"refresh_token\", or remove this key",
        ),
        (
            "O\nclient_auth = 'none'",
            "c.toml:6: token.t.client_auth: is none, and there is a client_secret; remove one of them",
        ),
        (
            "O\nresource = ['https://a.example', 'b']",
            "c.toml:6: token.t.resource: oauth: a resource is no absolute URI; write it in full, such as https://api.example.com; for an API's plain name use audience",
        ),
        (
            "O\nparams = { grant_type = 'password' }",
            "c.toml:6: token.t.params.grant_type: grant_type may not be set as an extra parameter; remove it: the protocol sets it",
        ),
        (
            "O\nscope = 'read'\nparams = { scope = 'x' }",
            "c.toml:7: token.t.params.scope: scope may not be set as an extra parameter; use the option scope",
        ),
        (
            "O\n[token.t.params]\nclient_secret = 'hunter2'",
            "c.toml:6: token.t.params.client_secret: client_secret may not be set as an extra parameter; use the option client_secret",
        ),
        (
            "O\nparams = { x = 1 }",
            "c.toml:6: token.t.params.x: must be a string, and is a number; write it as params = { organization = \"org_1\" }",
        ),
        (
            "[token.t]\nprovider = 'google'",
            "c.toml:1: token.t.credentials: is missing; add credentials = \"/run/secrets/ci-bot.json\"",
        ),
        (
            "[token.t]\nprovider = 'google'\ncredentials = '{\"private_key\":\"hunter2\"}'",
            "c.toml:3: token.t.credentials: the key itself stands here; write { file = \"/path\" }, { env = \"NAME\" } or { command = [\"program\", \"argument\"] }",
        ),
        (
            "[token.t]\nprovider = 'google'\ncredentials = '/k'\nself_signed = 'yes'",
            "c.toml:4: token.t.self_signed: must be true or false, and is a string; write true or false, without quotes",
        ),
        (
            "[token.t]\nprovider = 'google'\ncredentials = '/k'\naudience = 'a'\nscope = 's'",
            "c.toml:4: token.t.audience: stands beside scope; remove one of them: a self-signed JWT is for scopes or for one audience",
        ),
        (
            "[token.t]\nprovider = 'command'\ncommand = []",
            "c.toml:3: token.t.command: names no program; write it as command = [\"az\", \"account\", \"get-access-token\", \"--output\", \"json\"]",
        ),
        (
            "[token.t]\nprovider = 'command'\ncommand = ['x']\nshell = 'y'",
            "c.toml:4: token.t.shell: stands beside command; remove one of them",
        ),
        (
            "[token.t]\nprovider = 'command'\ncommand = ['./x']",
            "c.toml:3: token.t.command: command: the program ./x is a relative path; write its absolute path, or its bare name to have it looked up in PATH",
        ),
        (
            "[token.t]\nprovider = 'command'\nshell = 'x'\nscope = 's'",
            "c.toml:4: token.t.scope: is a key of entra, google, ibm, oauth, and the provider is command; remove it, and give it to the program among its arguments",
        ),
        (
            "[token.t]\nprovider = 'command'\nshell = 'x'\ntimeout = '0s'",
            "c.toml:4: token.t.timeout: is no duration of more than nothing; write it as \"10m\", \"90s\" or \"1h30m\"",
        ),
        (
            "[token.t]\nprovider = 'command'\nshell = 'x'\ntimeout = '21s'",
            "c.toml:4: token.t.timeout: is longer than 20 s, which no mint may take; set it to 20s or less",
        ),
        (
            "[token.t]\nprovider = 'command'\nshell = ['x']",
            "c.toml:3: token.t.shell: must be a string, and is an array; write it as shell = \"print-token | tail -n 1\"",
        ),
        (
            "P\nscope = 'a'\n\"scope\" = 'hunter2'",
            "c.toml:5: the key scope stands here a second time; remove one of the two",
        ),
        ("P\n[token.t]", "c.toml:4: the key t stands here a second time; remove one of the two"),
        (
            "[token.t]\nprovider = 'command'\nshell = 'x'\ncwd = '.'",
            "c.toml:4: token.t.cwd: is no path from the root; write the whole path, beginning at the root",
        ),
        (
            "P\n[route.r]\ntoken = 'tt'\nupstream = 'https://a.example'",
            "c.toml:5: route.r.token: there is no token of this name; did you mean \"t\"?",
        ),
        (
            "P\n[route.r]\ntoken = 't'\nupstream = 'http://a.example'",
            "c.toml:6: route.r.upstream: a.example: plain HTTP would show the credential to the network; use https://",
        ),
        (
            "P\nhosts = ['b.example.com']\n[route.r]\ntoken = 't'\nupstream = 'https://a.example.com/v1'",
            "c.toml:7: route.r.upstream: leads to a host that the token is not for; if it is, add the host to `hosts` of [token.t]",
        ),
        ("R\nport = 0", "c.toml:7: route.r.port: is no port from 1 to 65535; write it as port = 8640"),
        ("R\nport = '8640'", "c.toml:7: route.r.port: is no port from 1 to 65535; write it as port = 8640"),
        ("R\nport = 8640\nsocket = '/run/r.sock'", "c.toml:8: route.r.socket: stands beside port; remove one of them"),
        (
            "R\nexpired_status = [403, 500]",
            "c.toml:7: route.r.expired_status: holds something else than statuses from 400 to 499; write it as expired_status = [403]",
        ),
        (
            "R\nexpired_status = 403",
            "c.toml:7: route.r.expired_status: must be an array of statuses; write it as expired_status = [403]",
        ),
        ("R\nheader = 'Host'", "c.toml:7: route.r.header: is no header for a token; write it as header = \"api-key\""),
        (
            "R\nscheme = 'Bearer x'",
            "c.toml:7: route.r.scheme: is no single word; write it as scheme = \"Bearer\", or \"none\"",
        ),
        (
            "R\nset_headers = { Authorization = 'x' }",
            "c.toml:7: route.r.set_headers: holds what cannot be set; name headers such as x-team; the token's own, Host and those of the connection are the proxy's affair",
        ),
        (
            "R\nclient_cert = '/c.pem'",
            "c.toml:4: route.r.client_key: is missing; add client_key = \"/path\", or remove client_cert",
        ),
        (
            "P\n[route.r]\ntoken = 't'",
            "c.toml:4: route.r.upstream: is missing; add upstream = \"https://contoso.openai.azure.us/openai/v1\"",
        ),
    ];
    let mut wrong = Vec::new();
    for (text, expected) in rows {
        let text = text
            .replace("R\n", &format!("{PREFIX}{ROUTE}"))
            .replace("P\n", PREFIX)
            .replace("E\n", ENTRA)
            .replace("O\n", OAUTH);
        let error = error_of(&text);
        if error != *expected {
            wrong.push(format!("{text}\n  wanted {expected}\n  got    {error}\n"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_problem_is_told_in_the_order_of_the_lines() {
    let text = "[token.b]\nprovider = 'ibm'\napi_key = 'x'\nhost = []\n[token.a]\nprovider = 'oauth'\n";
    let lines: Vec<_> =
        Config::problems(text, "c.toml").iter().map(|error| (error.line(), error.key().to_owned())).collect();
    let expected = [
        (3, "token.b.api_key"),
        (4, "token.b.host"),
        (5, "token.a.client_id"),
        (5, "token.a.issuer"),
        (5, "token.a.client_secret"),
    ];
    assert_eq!(lines, expected.map(|(line, key)| (Some(line), key.to_owned())));
    assert!(Config::problems(PREFIX, "c.toml").is_empty());
}

#[test]
fn what_is_no_toml_is_refused_without_showing_the_line() {
    for (text, line) in [
        ("\n[token.t]\nclient_secret = hunter2", 3),
        ("a = \"hunter2", 1),
        ("[token.t\nx = 'hunter2'", 1),
        ("hunter2", 1),
        ("[token.t]\nprovider = 'ibm'\nprovider = 'hunter2'", 3),
        ("x = '''hunter2\n\n", 3),
        ("[token.t]\n\nhunter2 = = 1", 3),
        ("\u{feff}[token.t]\nx = \u{0}hunter2", 2),
    ] {
        let error = Config::parse(text, "c.toml").unwrap_err();
        assert_eq!(error.line(), Some(line), "{error}");
        assert!(!format!("{error} {error:?}").contains("unter2"), "{error}");
    }
}

/// Each of the places where somebody may paste a secret.
#[test]
fn no_error_and_no_debug_shows_a_value() {
    const CANARY: &str = "hunter2-canary";
    let mut told = 0;
    for key in keys::TOKEN {
        for provider in keys::PROVIDER_NAMES {
            for value in [
                "'CANARY'",
                "['CANARY', 1]",
                "{ value = 'CANARY' }",
                "{ file = 'CANARY' }",
                "{ env = 'CANARY' }",
                "{ x = ['CANARY'] }",
                "1985-10-26",
                "{ command = 'CANARY' }",
            ] {
                let mut text = format!("[token.t]\n{} = {}\n", key.name, value.replace("CANARY", CANARY));
                if key.name != "provider" {
                    text.push_str(&format!("provider = '{provider}'\n"));
                }
                for error in Config::problems(&text, "c.toml") {
                    told += 1;
                    let shown = format!("{error} {error:?} {:?}", crate::MintError::from(error.clone()));
                    assert!(!shown.contains(CANARY), "{text}\n{shown}");
                }
            }
        }
    }
    assert!(told > 1000, "{told}");
    let config = Config::parse(
        &GOOD.replace("print-token", CANARY).replace("/run/secrets/corp", "/run/secrets/other"),
        "c.toml",
    )
    .unwrap();
    assert!(!format!("{config:?}").contains(CANARY));
}

/// Every provider with every key it knows.
const GOOD: &str = r#"
[token.corp]
provider      = "entra"
cloud         = "us-government"
authority     = "https://login.microsoftonline.us"
tenant        = "contoso.onmicrosoft.us"
client_id     = "aaaaaaaa-0000-4000-8000-000000000001"
client_secret = { file = "/run/secrets/corp" }
scope         = "https://cognitiveservices.azure.us/.default"
hosts         = ["*.openai.azure.us", "127.0.0.1"]
export        = "never"
min_ttl       = "10m"
ca_file       = "/etc/corp/ca.pem"
roots         = "bundled"
fallback_on   = ["denied"]

[token.corp.fallback]
provider = "command"
command  = ["print-token", "--json"]
timeout  = "20s"
ttl      = "1h"
env      = { A = "b" }
cwd      = "/tmp"

[token.corp.fallback.fallback]
provider = "command"
shell    = '''
print-token \
  --again'''

[token.ci]
provider    = "google"
credentials = "/run/secrets/ci-bot.json"
scope       = ["https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/drive"]
subject     = "robot@example.com"
token_url   = "https://oauth2.googleapis.com/token"

[token.ci-audience]
provider    = "google"
credentials = { command = ["pass", "show", "ci"] }
audience    = "https://pubsub.googleapis.com/"
self_signed = true

[token.ibm]
provider = "ibm"
api_key  = { env = "CORP_IBM_KEY" }
endpoint = "http://127.0.0.1:8080"
scope    = "ibm"

[token.any]
provider      = "oauth"
issuer        = "https://login.example.com"
grant         = "client_credentials"
client_id     = "c"
client_secret = { env = "S" }
client_auth   = "client_secret_post"
scope         = "read write"
audience      = "https://api.example.com/"
resource      = ["https://a.example.com", "https://b.example.com"]
params        = { organization = "org_1" }
username      = "x-token-auth"

[token.refreshed]
provider      = "oauth"
token_url     = "https://login.example.com/token"
grant         = "refresh_token"
client_id     = "c"
refresh_token = { file = "/run/secrets/rt" }

[token.kept]
provider           = "oauth"
token_url          = "https://login.example.com/token"
grant              = "refresh_token"
client_id          = "c"
client_auth        = "none"
refresh_token_file = "/var/lib/corp/rt"

[token.keys]
provider = "command"
command  = ["aws", "configure", "export-credentials", "--format", "process"]
answer   = "aws-credentials"

[route.gov]
token    = "corp"
upstream = "https://contoso.openai.azure.us/openai/v1"

[route.all]
token          = "any"
upstream       = "https://api.example.com/v1"
header         = "api-key"
scheme         = "none"
set_headers    = { x-team = "search" }
ca_file        = "/etc/corp/ca.pem"
client_cert    = "/etc/corp/client.pem"
client_key     = "/etc/corp/client-key.pem"
port           = 8_640
expired_status = [403, 440]

[route.private]
token    = "any"
upstream = "http://127.0.0.1:9/"
socket   = "/run/private.sock"
"#;

#[test]
fn every_provider_with_every_key() {
    let config = Config::parse(GOOD, "c.toml").unwrap();
    assert_eq!(
        config.names().collect::<Vec<_>>(),
        ["corp", "ci", "ci-audience", "ibm", "any", "refreshed", "kept", "keys"]
    );
    for key in keys::TOKEN {
        let written = GOOD.lines().any(|line| line.starts_with(&format!("{} ", key.name))) || key.name == "fallback";
        assert!(written, "{} is in no example", key.name);
    }
    let corp = config.token("corp").unwrap();
    assert_eq!((corp.provider(), corp.line(), corp.export()), ("entra", 2, Export::Never));
    assert_eq!(corp.fallbacks(), ["command", "command"]);
    assert_eq!(corp.min_ttl(), Some(Duration::from_secs(600)));
    assert!(hosts_allow(corp.hosts(), "contoso.openai.azure.us") && !hosts_allow(corp.hosts(), "example.com"));
    assert_eq!(config.token("ci").unwrap().scope().unwrap().split(' ').count(), 2);
    assert_eq!(config.token("any").unwrap().audience(), Some("https://api.example.com/"));
    assert_eq!(config.token("any").unwrap().username(), "x-token-auth");
    assert_eq!(config.token("ci").unwrap().username(), "oauth2accesstoken");
    assert_eq!((corp.tenant(), config.token("any").unwrap().tenant()), (Some("contoso.onmicrosoft.us"), None));
    assert!(config.token("keys").unwrap().is_aws_credentials() && !corp.is_aws_credentials());
    let route = config.routes().next().unwrap();
    let upstream = "https://contoso.openai.azure.us/openai/v1";
    assert_eq!((route.name(), route.token(), route.upstream()), ("gov", "corp", upstream));
    for key in keys::ROUTE {
        let written = GOOD.lines().any(|line| line.starts_with(&format!("{} ", key.name)));
        assert!(written, "{} is in no example", key.name);
    }
    let route = config.route("all").unwrap();
    assert_eq!((route.header(), route.scheme(), route.port()), (Some("api-key"), Some("none"), Some(8640)));
    assert_eq!(route.set_headers().collect::<Vec<_>>(), [("x-team", "search")]);
    assert_eq!(route.client_certificate().unwrap().1, Path::new("/etc/corp/client-key.pem"));
    assert_eq!((route.ca_file(), route.expired_statuses()), (Some(Path::new("/etc/corp/ca.pem")), &[403, 440][..]));
    assert_eq!(config.route("private").unwrap().socket(), Some(Path::new("/run/private.sock")));
    for (name, source) in [("corp", "entra|command|command"), ("ci", "google"), ("ibm", "ibm"), ("any", "oauth")] {
        let source_name = config.source(name).unwrap().name().to_owned();
        assert!(source_name.starts_with(source.split('|').next().unwrap()), "{source_name}");
    }
    let error = config.manager("crop").err().unwrap();
    assert_eq!(error.to_string(), "c.toml: there is no token of this name; did you mean `corp`?");
    assert_eq!(error.kind(), ErrorKind::NotConfigured);
}

/// An editor's view of a text: the same document as JSON, against the schema.
fn fits_the_schema(text: &str) -> Result<(), String> {
    fn json(value: &toml::de::DeValue<'_>) -> serde_json::Value {
        use toml::de::DeValue;
        match value {
            DeValue::Boolean(value) => (*value).into(),
            DeValue::Array(array) => array.iter().map(|item| json(item.get_ref())).collect(),
            DeValue::Table(table) => object(table),
            DeValue::Integer(value) => value.to_string().parse::<i64>().unwrap().into(),
            DeValue::Float(_) => 0.5.into(),
            other => other.as_str().unwrap_or("a date").into(),
        }
    }
    fn object(table: &DeTable<'_>) -> serde_json::Value {
        let members = table.iter().map(|(name, item)| (name.get_ref().to_string(), json(item.get_ref())));
        serde_json::Value::Object(members.collect())
    }
    static SCHEMA: std::sync::LazyLock<jsonschema::Validator> =
        std::sync::LazyLock::new(|| jsonschema::validator_for(&serde_json::from_str(&schema()).unwrap()).unwrap());
    let document = object(DeTable::parse(text).unwrap().get_ref());
    SCHEMA.validate(&document).map_err(|error| format!("{error} at {}\n{text}", error.instance_path()))
}

/// AWS keys sign requests; nothing may take them for a bearer token.
#[test]
fn aws_keys_go_to_no_host() {
    let keys = "[token.keys]\nprovider = 'command'\ncommand = ['p']\nanswer = 'aws-credentials'\n";
    for (more, problem) in [
        ("hosts = ['a.example.com']\n", "token.keys.hosts: stands beside answer"),
        ("fallback = { provider = 'command', command = ['q'] }\n", "token.keys.fallback: stands beside answer"),
        ("[route.r]\ntoken = 'keys'\nupstream = 'https://a.example.com'\n", "route.r.token: keys is AWS keys"),
    ] {
        let problems = Config::problems(&format!("{keys}{more}"), "c");
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].to_string().contains(problem), "{}", problems[0]);
    }
}

#[test]
fn the_schema_accepts_what_the_parser_accepts() {
    let lab = unexpired_testkit::lab::Lab::start(unexpired_testkit::lab::LabOptions::new()).unwrap();
    let mut texts = vec![GOOD.to_owned(), PREFIX.to_owned(), lab.config_toml().to_owned()];
    for file in ["README.md", "docs/reference/config.md", "docs/providers"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
        let files = std::fs::read_dir(&path).map(|folder| folder.flatten().map(|entry| entry.path()).collect());
        for file in files.unwrap_or_else(|_| vec![path]) {
            let page = std::fs::read_to_string(file).unwrap();
            let blocks = page.split("```toml\n").skip(1).map(|block| block.split("```").next().unwrap().to_owned());
            texts.extend(blocks.filter(|block| block.contains("[token.")));
        }
    }
    assert!(texts.len() > 8, "the examples are not found");
    for text in texts {
        assert_eq!(Config::problems(&text, "c.toml"), [], "{text}");
        assert_eq!(fits_the_schema(&text), Ok(()));
    }
}

#[test]
fn the_schema_refuses_what_the_parser_refuses() {
    const PUBLIC: &str = "[token.t]\nprovider = 'oauth'\ntoken_url = 'https://as.example.com/token'\nclient_id = 'c'\n";
    let without = |text: &str, key: &str| -> String {
        text.lines().filter(|line| !line.starts_with(key)).map(|line| format!("{line}\n")).collect()
    };
    let mut texts = vec![
        without(ENTRA, "scope"),
        without(ENTRA, "client_secret"),
        without(ENTRA, "tenant"),
        without(OAUTH, "client_secret"),
        without(OAUTH, "token_url"),
        without(PREFIX, "api_key"),
        without(PREFIX, "provider"),
        format!("{}scope = ['a/.default', 'b/.default']", without(ENTRA, "scope")),
        "[token.t]\nprovider = 'google'\ncredentials = 'k.json'".to_owned(),
        "[token.t]\nprovider = 'google'\ncredentials = '/k'\naudience = 'a'\nscope = 's'".to_owned(),
        "[token.t]\nprovider = 'command'".to_owned(),
        "[token.t]\nprovider = 'command'\ncommand = ['x']\nshell = 'y'".to_owned(),
        "[other]".to_owned(),
    ];
    for key in [
        "grant = 'refresh_token'",
        "grant = 'refresh_token'\nrefresh_token = { env = 'R' }\nrefresh_token_file = '/r'",
        "grant = 'refresh_token'\nrefresh_token_file = 'r'",
        "grant = 'refresh_token'\nrefresh_token = { env = 'R' }\nclient_auth = 'client_secret_post'",
        "client_auth = 'none'",
    ] {
        texts.push(format!("{PUBLIC}{key}"));
    }
    for key in [
        "issuer = 'https://as.example.com'",
        "client_auth = 'none'",
        "refresh_token = { env = 'R' }",
        "grant = 'refresh_token'\nrefresh_token = { env = 'R' }\nclient_auth = 'none'",
        "tenant = 'x'",
        "scop = 'x'",
    ] {
        texts.push(format!("{OAUTH}{key}"));
    }
    for key in [
        "endpoint = 'http://evil.example'",
        "endpoint = 'http://127.0.0.1.evil.example'",
        "endpoint = 'ftp://iam.example'",
        "ca_file = 'ca.pem'",
        "min_ttl = '10'",
        "fallback_on = ['denied']",
        "fallback = { provider = 'command' }",
        "fallback = { provider = 'command', shell = 'x', hosts = ['a.example'] }",
        "export = 'sometimes'",
        "hosts = []",
    ] {
        texts.push(format!("{PREFIX}{key}"));
    }
    for secret in ["'hunter2'", "{}", "{ file = 'rel' }", "{ env = 'A', file = '/b' }", "{ keyring = 'x' }"] {
        texts.push(format!("[token.t]\nprovider = 'ibm'\napi_key = {secret}"));
    }
    texts.extend(["store = 'disk'", "store = 1"].map(str::to_owned));
    for text in texts {
        assert_ne!(Config::problems(&text, "c.toml"), [], "{text}");
        assert!(fits_the_schema(&text).is_err(), "{text}");
    }
}

#[test]
fn the_schema_knows_every_key() {
    let schema: serde_json::Value = serde_json::from_str(&schema()).unwrap();
    for (table, keys) in [("token", keys::TOKEN), ("route", keys::ROUTE)] {
        let properties = schema["$defs"][table]["properties"].as_object().unwrap();
        assert_eq!(properties.len(), keys.len());
        for key in keys {
            assert!(properties[key.name]["description"].as_str().is_some_and(|text| !text.is_empty()), "{}", key.name);
        }
    }
    assert!(schema["$defs"]["fallback"]["properties"].get("hosts").is_none());
    assert_eq!(schema["$defs"]["token"]["allOf"].as_array().unwrap().len(), keys::PROVIDERS.len());
    // The names in both lists of providers are the same.
    assert_eq!(keys::PROVIDERS.map(|(name, _)| name), keys::PROVIDER_NAMES);
}

#[test]
fn where_tokens_are_kept_stands_above_all_tables() {
    for (text, kind) in
        [("", StoreKind::File), ("store = 'file'", StoreKind::File), ("store = 'memory'", StoreKind::Memory)]
    {
        let config = Config::parse(&format!("{text}\n{PREFIX}"), "c.toml").unwrap();
        assert_eq!(config.configured_store(), kind);
    }
    let keyring = Config::parse("store = 'keyring'", "c.toml").map(|config| config.configured_store());
    if cfg!(feature = "keyring") {
        assert_eq!(keyring.unwrap(), StoreKind::Keyring);
    } else {
        let expected = "c.toml:1: store: this build has no keyring; build it with --features keyring, or set store to \"file\" or \"memory\"";
        assert_eq!(keyring.unwrap_err().to_string(), expected);
    }
}

#[cfg(feature = "keyring")]
#[test]
fn an_entry_of_the_keyring_is_a_service_and_an_account() {
    let config = |entry: &str| {
        Config::parse(&format!("[token.t]\nprovider = 'ibm'\napi_key = {{ keyring = '{entry}' }}"), "c.toml")
    };
    for (entry, service, account) in
        [("corp/ci", "corp", "ci"), ("https://iam.example.com/bot", "https://iam.example.com", "bot")]
    {
        let config = config(entry).unwrap();
        let [(_, _, secret)] = config.tokens[0].section.secrets()[..] else { panic!("one secret") };
        assert_eq!(*secret, SecretRef::keyring(service, account));
        // Nobody is asked for it.
        assert_eq!((config.missing(), config.warnings()), (vec![], vec![]));
    }
    assert_ne!(config("a/b").unwrap().tokens[0].identity(), config("a/c").unwrap().tokens[0].identity());
    for entry in ["corp", "/ci", "corp/", "/"] {
        assert!(config(entry).is_err(), "{entry}");
    }
}

/// Errors name them as a remedy.
#[test]
fn the_ways_of_client_authentication_are_called_here_as_their_errors_call_them() {
    use unexpired_oauth::ClientAuth;
    let shape = keys::TOKEN.iter().find(|key| key.name == "client_auth").map(|key| &key.shape);
    let Some(keys::Shape::Choice(names)) = shape else { panic!("client_auth is a choice") };
    let ways = [ClientAuth::Basic, ClientAuth::Post, ClientAuth::None].map(ClientAuth::as_str);
    assert_eq!(*names, ways);
    let error = "basic auth".parse::<ClientAuth>().unwrap_err().to_string();
    assert!(ways.iter().all(|way| error.contains(way)), "{error}");
}

/// `UNEXPIRED_BLESS=1 cargo test -p unexpired --features config` writes the page.
#[test]
fn the_reference_page_is_the_generated_one() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    for (name, text) in [("config.md", reference()), ("config.schema.json", format!("{}\n", schema()))] {
        let path = docs.join(name);
        if std::env::var_os("UNEXPIRED_BLESS").is_some() {
            std::fs::create_dir_all(&docs).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), text, "{name}");
    }
}

#[test]
fn where_the_configuration_is() {
    let by = |set: &[(&str, &str)]| {
        default_path_by(&|name| set.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    };
    assert_eq!(by(&[("UNEXPIRED_CONFIG", "/x/y.toml"), ("XDG_CONFIG_HOME", "/xdg")]), Some("/x/y.toml".into()));
    assert_eq!(by(&[("XDG_CONFIG_HOME", "/xdg"), ("HOME", "/h")]), Some("/xdg/unexpired/config.toml".into()));
    if cfg!(target_os = "linux") {
        assert_eq!(
            by(&[("XDG_CONFIG_HOME", "relative"), ("HOME", "/h")]),
            Some("/h/.config/unexpired/config.toml".into())
        );
    }
}

#[cfg(unix)]
#[test]
fn a_file_that_others_can_write_is_refused() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let folder = tempfile::tempdir().unwrap();
    let (path, link, secret) = (folder.path().join("c.toml"), folder.path().join("link"), folder.path().join("key"));
    std::fs::write(&secret, "k").unwrap();
    std::fs::write(&path, format!("[token.t]\nprovider = 'ibm'\napi_key = {{ file = '{}' }}", secret.display()))
        .unwrap();
    symlink(&path, &link).unwrap();
    let set = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    for path in [&path, &link] {
        set(path, 0o600);
        assert!(Config::load(path).is_ok());
        set(path, 0o602);
        assert!(Config::load(path).unwrap_err().to_string().contains("everybody; run chmod go-w"));
    }
    set(&path, 0o644);
    set(&secret, 0o644);
    let config = Config::load(&path).unwrap();
    assert!(config.warnings()[0].contains("c.toml:3: token.t.api_key: everybody can read"), "{:?}", config.warnings());
    set(&secret, 0o600);
    assert!(config.warnings().is_empty());

    std::fs::write(&path, b"\n\xff").unwrap();
    assert!(Config::load(&path).unwrap_err().to_string().contains("c.toml:2: is not UTF-8"));
    assert!(Config::load(folder.path()).unwrap_err().to_string().contains("no regular file"));
    let absent = Config::load(&folder.path().join("absent")).unwrap_err();
    assert_eq!(absent.kind(), ErrorKind::NotConfigured);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,200}") {
        let _ = Config::problems(&text, "c.toml");
    }

    #[test]
    fn no_damage_to_a_good_file_makes_it_panic(at in 0..GOOD.len(), with in "[\\]\\[{}='\"\\\\\n.,a1\u{0}é-]{0,4}", cut in 0..40_usize) {
        let end = at.saturating_add(cut).min(GOOD.len());
        if let (Some(head), Some(tail)) = (GOOD.get(..at), GOOD.get(end..)) {
            for error in Config::problems(&format!("{head}{with}{tail}"), "c.toml") {
                proptest::prop_assert!(error.to_string().chars().count() <= 300);
                proptest::prop_assert!(!error.to_string().contains('\n'));
            }
        }
    }
}

#[test]
fn a_tokens_identity_is_everything_but_its_name_and_who_gets_it() {
    let identity = |text: &str| Config::parse(text, "f").unwrap().tokens().next().unwrap().identity();
    let base = "[token.a]\nprovider = \"ibm\"\napi_key = { file = \"/k\" }\n";
    let same = [
        "[token.b]\nprovider = \"ibm\"\napi_key = { file = \"/k\" }\n",
        "[token.a]\napi_key = { file = \"/k\" }\nprovider = \"ibm\"\nhosts = [\"a.example.com\"]\nexport = \"never\"\n",
    ];
    for text in same {
        assert_eq!(identity(text), identity(base), "{text}");
    }
    let others = [
        "[token.a]\nprovider = \"ibm\"\napi_key = { file = \"/l\" }\n",
        "[token.a]\nprovider = \"ibm\"\napi_key = { env = \"K\" }\n",
        "[token.a]\nprovider = \"ibm\"\napi_key = { command = [\"/k\"] }\n",
        "[token.a]\nprovider = \"ibm\"\napi_key = { file = \"/k\" }\nscope = \"s\"\n",
        "[token.a]\nprovider = \"ibm\"\napi_key = { file = \"/k\" }\nendpoint = \"https://iam.example.com\"\n",
        "[token.a]\nprovider = \"ibm\"\napi_key = { file = \"/k\" }\n[token.a.fallback]\nprovider = \"command\"\ncommand = [\"p\"]\n",
    ];
    for text in others {
        assert_ne!(identity(text), identity(base), "{text}");
    }
}

#[test]
fn what_holds_a_tokens_credentials() {
    let text = "[token.a]\nprovider = \"oauth\"\ntoken_url = \"https://as.example.com/t\"\ngrant = \"refresh_token\"\nclient_id = \"c\"\n\
        refresh_token_file = \"/rt\"\nclient_secret = { env = \"S\" }\n[token.a.fallback]\nprovider = \"ibm\"\napi_key = { file = \"/k\" }\n";
    let config = Config::parse(text, "f").unwrap();
    let token = config.token("a").unwrap();
    let mut files: Vec<_> = token.credential_files().into_iter().map(|path| path.display().to_string()).collect();
    files.sort();
    assert_eq!(files, ["/k", "/rt"]);
    assert_eq!(token.credential_variables(), ["S"]);
    assert!(token.rotates());
    let config = Config::parse("[token.a]\nprovider = \"ibm\"\napi_key = { env = \"K\" }\n", "f").unwrap();
    assert!(!config.token("a").unwrap().rotates());
}

#[test]
fn whether_programs_are_run_for_a_token() {
    for (text, runs) in [
        ("provider = 'ibm'\napi_key = { env = 'K' }\n", false),
        ("provider = 'ibm'\napi_key = { command = ['/bin/pass', 'k'] }\n", true),
        ("provider = 'command'\ncommand = ['/bin/echo', 'x']\n", true),
        (
            "provider = 'ibm'\napi_key = { env = 'K' }\n[token.a.fallback]\nprovider = 'command'\ncommand = ['/bin/echo', 'x']\n",
            true,
        ),
    ] {
        let config = Config::parse(&format!("[token.a]\n{text}"), "f").unwrap();
        assert_eq!(config.token("a").unwrap().runs_commands(), runs, "{text}");
    }
}
