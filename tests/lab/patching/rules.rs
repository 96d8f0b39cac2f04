//! What a release is asked before it goes on and what is said of it afterwards, on the hosts of the world beside: windows,
//! notices and freezes at moments that are given, a mirror of its packages, and `patch status`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use palisade::domain::{Digest, Environment};
use palisade::release::notice::{Notice, SCHEMA};
use palisade::signing::{self, Signer};
use serde_json::{Value, json};
use support::{Ran, World, note, of_host};

/// How alice came to a host: her connections, and what ran there as root for her.
const VISITS: &str = "journalctl --sync
journalctl -q SYSLOG_IDENTIFIER=sshd + SYSLOG_IDENTIFIER=sshd-session | grep -c 'Accepted publickey for alice'
journalctl -q SYSLOG_IDENTIFIER=sudo | grep -c ' alice : .*COMMAND='
true";

/// How many connections alice made to a host, and how many scripts she ran there, by its own journal.
fn visits(world: &World, host: &str) -> [usize; 2] {
    let counted = world.sh(host, VISITS);
    let numbers: Vec<usize> = counted.lines().map(|line| line.parse().unwrap()).collect();
    numbers.try_into().unwrap()
}

/// A run at `moment` that must be refused: what it says.
fn refused_at(world: &World, moment: Timestamp, words: &[&str]) -> String {
    super::ended(6, at(world, moment, words)).1
}

/// A run at `moment`.
fn at(world: &World, moment: Timestamp, words: &[&str]) -> Ran {
    world.palisade(words.iter().copied()).env("PALISADE_LAB_NOW", moment.to_string()).run()
}

/// Asks every host of `environment` for its releases; each is asked once.
fn status(world: &World, environment: &str, exit: i32) -> Value {
    let hosts: Vec<&str> = super::HOSTS.into_iter().filter(|host| host.starts_with(environment)).collect();
    let before: Vec<[usize; 2]> = hosts.iter().map(|host| visits(world, host)).collect();
    let (status, _) = super::run(world, exit, &["patch", "status", environment]);
    for (host, [connections, scripts]) in hosts.iter().zip(before) {
        assert_eq!(visits(world, host), [connections + 1, scripts + 1], "{host}");
    }
    assert_eq!(status["exit"], exit);
    status
}

/// The same for people.
fn shown(world: &World, environment: &str) -> String {
    let table = world.typed(["patch", "status", environment]).run().out;
    note(&table);
    table
}

pub(super) fn hosts_without_a_release_are_overdue(world: &World) {
    world.on(&["dev-1", "dev-2"], "apt-get -q update >/dev/null");
    let old = status(world, "dev", 3);
    for name in ["dev-1", "dev-2"] {
        let answered = of_host(&old, name);
        assert_eq!(answered["standing"], "overdue", "{answered:#}");
        assert_eq!((&answered["has"], &answered["age_days"]), (&Value::Null, &Value::Null));
        assert!(answered["security"].as_array().unwrap()[0].as_str().unwrap().starts_with("lab-conf "));
    }
    let table = shown(world, "dev");
    let row = table.lines().find(|line| line.contains("dev-1")).unwrap();
    assert!(row.contains("overdue since ") && row.contains("1 security"), "{table}");
}

pub(super) fn hosts_with_the_release_are_current(world: &World, id: &str) {
    let new = status(world, "dev", 0);
    let answered = of_host(&new, "dev-1");
    assert_eq!(answered["standing"], "current", "{answered:#}");
    assert_eq!((&answered["has"]["release"], &answered["age_days"]), (&json!(id), &json!(0)));
    assert!(!shown(world, "dev").contains("overdue"));
}

/// Prod is refused outside of a window, without a notice and in a freeze, and nobody goes there to find that out. In the window
/// that was announced it takes the release, from a mirror that has all of it but one package.
pub(super) fn prod_takes_it_in_a_window_that_was_announced(world: &World, planned: &Value) {
    let id = planned["release"]["id"].as_str().unwrap();
    let apply = ["patch", "apply", "prod", "--release", id, "--limit", "prod-1", "--yes"];
    let before = ["prod-1", "prod-2"].map(|host| visits(world, host));
    let window = Window::next(world);

    let said = refused_at(world, window.closes, &apply);
    assert!(said.contains("window: prod is worked on within a window, and none is open"), "{said}");
    let during = window.opens + SignedDuration::from_mins(10);
    let asked = visits(world, "test-1");
    let said = refused_at(world, during, &apply);
    assert!(said.contains(&format!("notice: nobody was told that {id} comes in the window")), "{said}");
    assert!(!said.contains("  soak:") && !said.contains("  window:"), "{said}");
    assert_eq!(visits(world, "test-1"), asked.map(|count| count + 1), "test is asked once");

    let freeze =
        format!("freezes: [{{from: {0}, to: {0}, reason: the sale, environments: [prod]}}]", window.day());
    let none = "freezes: []";
    world.edit("inventories/fleet.yaml", none, &freeze);
    let emergency = [&apply[..], &["--emergency", "--reason", "a hole"]].concat();
    let said = refused_at(world, during, &emergency);
    assert!(said.contains("freeze: prod is frozen from") && said.contains("the sale"), "{said}");
    world.edit("inventories/fleet.yaml", &freeze, none);

    window.announce(world, id);
    assert_eq!(["prod-1", "prod-2"].map(|host| visits(world, host)), before, "nobody went there");

    note("a mirror with other bytes than were signed is refused; what it lacks is carried");
    let library = &planned["release"]["sets"][0]["packages"]["lab-library"];
    let mirror = Mirror::of(world, id);
    world.edit("inventories/fleet.yaml", none, &format!("{none}\n  mirror: \"{}\"", mirror.address));
    let file = mirror.pool.join(library["sha256"].as_str().unwrap());
    std::fs::write(&file, "not a package").unwrap();
    let said = refused_at(world, during, &apply);
    assert!(said.contains("has another file in the place of"), "{said}");
    std::fs::remove_file(&file).unwrap();
    let (prod, said) = super::ended(0, at(world, during, &apply));
    assert!(said.contains(" files are not from http://"), "{said}");
    let installed = &of_host(&prod, "prod-1")["installed"];
    assert_eq!(installed["bytes"], library["size"], "what the mirror lacks was carried, and nothing else");
    assert_eq!(installed["packages"]["lab-library"], "1.1");
    assert!(!world.sh("prod-1", super::JOURNAL).contains("emergency"));
}

pub(super) fn an_emergency_is_shown(world: &World) {
    let prod = status(world, "prod", 0);
    assert_eq!(of_host(&prod, "prod-1")["emergencies"], json!([]));
    assert_eq!(of_host(&prod, "prod-2")["emergencies"][0]["reason"], "a hole");
    assert!(shown(world, "prod").contains("came out of turn: a hole"));
}

/// A service that the inventory denies a restart runs on as the same process, and is named.
pub(super) fn what_is_never_restarted_is_named(world: &World, run: &Value) {
    let installed = &of_host(run, "dev-1")["installed"];
    assert_eq!(installed["denied"], json!(["lab-kept@one.service"]), "{installed:#}");
    assert!(!world.sh("dev-1", super::JOURNAL).contains("restarted lab-kept"));
    let status = status(world, "dev", 0);
    assert_eq!(of_host(&status, "dev-1")["denied"], json!(["lab-kept@one.service"]));
    assert_eq!(of_host(&status, "dev-2")["denied"], json!([]));
    let table = shown(world, "dev");
    assert!(table.contains("lab-kept@one.service needs a restart, and no release restarts it"), "{table}");
    assert!(table.contains("-emergency failed "), "{table}");
}

/// A window of prod that can still be announced.
struct Window {
    opens: Timestamp,
    closes: Timestamp,
}

impl Window {
    fn next(world: &World) -> Self {
        let (calendar, _) = super::run(world, 0, &["calendar", "prod"]);
        let now: Timestamp = moment(&calendar["now"]);
        let windows = calendar["releases"].as_array().unwrap().iter().map(|release| &release["windows"][0]);
        let mut windows = windows.filter(|window| moment(&window["notice_by"]) > now);
        let window = windows.next().unwrap();
        Self { opens: moment(&window["opens"]), closes: moment(&window["closes"]) }
    }

    fn day(&self) -> jiff::civil::Date {
        self.opens.in_tz("Europe/Paris").unwrap().date()
    }

    /// The record of a notice as `patch announce` leaves it, signed by alice.
    fn announce(&self, world: &World, id: &str) {
        let releases = world.project().join("releases");
        let notice = Notice {
            schema: SCHEMA,
            release: id.parse().unwrap(),
            sha256: Digest::of(&std::fs::read(releases.join(format!("{id}.yaml"))).unwrap()),
            environment: Environment::Prod,
            opens: self.opens,
            closes: self.closes,
            sent: self.opens - SignedDuration::from_hours(48),
            by: "alice".parse().unwrap(),
            to: vec!["ops@example.com".to_owned()],
            message: "<1@example.com>".to_owned(),
            server: "smtp.example.com".to_owned(),
            answer: "250 taken".to_owned(),
        };
        let bytes = serde_json::to_vec(&notice).unwrap();
        let signer = Signer::File(world.private_key("person-alice"));
        let signature = signing::sign(&signer, "palisade-notice", &bytes).unwrap();
        let file = releases.join(format!("{id}.prod.{}.notice.json", self.day()));
        std::fs::write(&file, bytes).unwrap();
        std::fs::write(file.with_extension("json.sig"), signature).unwrap();
    }
}

fn moment(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

/// A web server on the lab's network with a copy of a release's packages, as long as the test program runs.
struct Mirror {
    _folder: tempfile::TempDir,
    pool: PathBuf,
    address: String,
}

impl Mirror {
    fn of(world: &World, id: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pool = folder.path().join(id).join("pool");
        std::fs::create_dir_all(&pool).unwrap();
        for entry in std::fs::read_dir(world.project().join("releases").join(id).join("pool")).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, pool.join(path.file_name().unwrap())).unwrap();
        }
        let control = world.record().networks.control.v4.to_string();
        let listener = TcpListener::bind((control.as_str(), 0)).unwrap();
        let address = format!("http://{}/releases/", listener.local_addr().unwrap());
        let root = folder.path().to_owned();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // A host that goes away in the middle asks again.
                drop(serve(&root, &stream));
            }
        });
        Self { _folder: folder, pool, address }
    }
}

/// One answer, and the end of the connection.
fn serve(root: &Path, mut stream: &TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let path = first.split(' ').nth(1).and_then(|path| path.strip_prefix("/releases/")).unwrap_or_default();
    let (status, body) = match std::fs::read(root.join(path)) {
        Ok(body) if !path.contains("..") => ("200 OK", body),
        _ => ("404 Not Found", Vec::new()),
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body)
}
