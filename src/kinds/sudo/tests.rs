//! What sudo rules are judged and changed to, on answers made by hand; real ones are in `tests/cases/sudo/`.

use super::*;

fn file(path: &str, content: &str) -> SudoersFile {
    SudoersFile { path: path.to_owned(), state: sudoers(content.to_owned()) }
}

fn answer(files: Vec<SudoersFile>) -> Answer {
    Answer { files, unread: Vec::new(), has_directory: true, conf: Vec::new(), switch: String::new() }
}

fn steps(sudo: &Sudo, answer: &Answer) -> Vec<(Phase, String, FileState, FileState)> {
    let steps = sudo.remedy(answer).unwrap();
    steps
        .into_iter()
        .map(|step| match step.change {
            Change::File { path, before, after } => (step.phase, path.to_string(), before, after),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn rules(state: &FileState) -> Vec<&str> {
    match state {
        FileState::Present(found) => found.content.lines().filter(|line| !line.starts_with('#')).collect(),
        other => panic!("{other:?}"),
    }
}

fn sudo(users: &[&str]) -> Sudo {
    Sudo { rules: users.iter().map(|user| (user.parse().unwrap(), Grant::All)).collect() }
}

const MAIN_FILE: &str = "root ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n";

#[test]
fn who_leaves_keeps_root_until_narrow() {
    let bob = "bob ALL=(ALL:ALL) NOPASSWD: ALL";
    let answer = answer(vec![file(MAIN, MAIN_FILE), file(RULES, &format!("Defaults !lecture\n{bob}\n"))]);
    let steps = steps(&sudo(&["alice"]), &answer);
    let [(Phase::Widen, _, _, both), (Phase::Narrow, _, widened, after)] = steps.as_slice() else {
        panic!("{steps:?}")
    };
    let alice = "alice ALL=(ALL:ALL) NOPASSWD: ALL";
    assert_eq!(rules(both), [bob, alice]);
    assert_eq!(widened, both);
    assert_eq!(rules(after), [alice]);
}

#[test]
fn a_file_that_another_names_is_emptied_not_removed() {
    let main = format!("{MAIN_FILE}@include /etc/more\n");
    let more = "# ours\neve ALL=(ALL) \\\n  ALL\n";
    let answer = answer(vec![file(MAIN, &main), file("/etc/sudoers.d/eve", more), file("/etc/more", more)]);
    let steps = steps(&sudo(&[]), &answer);
    let [(_, first, _, absent), (_, second, _, emptied)] = steps.as_slice() else { panic!("{steps:?}") };
    assert_eq!((first.as_str(), absent), ("/etc/sudoers.d/eve", &FileState::Absent));
    assert_eq!((second.as_str(), emptied), ("/etc/more", &sudoers("# ours\n".to_owned())));
}

#[test]
fn a_later_rule_is_seen_before_ours_is_there() {
    for (path, rule) in [("/etc/sudoers.d/zz", "alice ALL=(ALL) ALL\n"), (MAIN, "ALL ALL = ALL\n")] {
        let main = if path == MAIN { format!("{MAIN_FILE}{rule}") } else { MAIN_FILE.to_owned() };
        let answer = answer(vec![file(MAIN, &main), file("/etc/sudoers.d/zz", rule)]);
        assert!(sudo(&["alice"]).remedy(&answer).unwrap_err().what.contains("comes after"), "{path}");
    }
    let before = answer(vec![file(MAIN, MAIN_FILE), file("/etc/sudoers.d/aa", "alice ALL=(ALL) ALL\n")]);
    assert!(sudo(&["alice"]).remedy(&before).is_ok());
}

#[test]
fn commands_cannot_say_more_than_a_command() {
    for good in ["/usr/bin/systemctl restart app", "/usr/bin/x --a\\=b", "/usr/bin/apt *"] {
        assert!(good.parse::<SudoCommand>().is_ok(), "{good}");
    }
    for bad in
        ["ALL", "/bin/a, ALL", "/bin/a\nALL", "/bin/a \\", "!/bin/a", "/bin/a #x", "/bin/a=b", " /bin/a"]
    {
        assert!(bad.parse::<SudoCommand>().is_err(), "{bad}");
    }
}
