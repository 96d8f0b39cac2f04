//! What palisade says of disks, on machines that have them so: every layout is made, asked about and taken away again. The
//! answers are the cases of kind `encryption`, and the table in docs/encryption.md is what was seen.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use palisade::kinds::{self, Resource};
use palisade::lab::{Disk, Hardware, Host, HostSpec, Lab, LabFolder, Spec, Suite};
use palisade::resource::Verdict;
use palisade::shell::{self, Frame, Nonce, Script};

use crate::layouts::{LAYOUTS, Layout, PRELUDE};
use support::{Needs, blessing, cases, note, section, tail, tell};

support::tests! {
    Needs::LAB => [
        every_layout_of_disks_is_told_from_the_others,
        the_document_shows_every_layout,
    ],
}

const BEGIN: &str = "<!-- layouts: written by tests/machines, held by a test -->\n";
const END: &str = "<!-- layouts end -->\n";

/// What one layout's shell may take on an emulated machine beside others.
const SHELL_WITHIN: Duration = Duration::from_mins(10);

fn every_layout_of_disks_is_told_from_the_others() {
    let begun = Instant::now();
    let tail = tail() || blessing();
    let suites: &[(&str, Suite)] = &[("12", Suite::Bookworm), ("13", Suite::Trixie)];
    let suites = if tail { suites } else { &suites[..1] };
    let hardware = || {
        let mut disks = vec![Disk::of(96); 4];
        disks.push(Disk { removable: true, ..Disk::of(96) });
        Hardware { disks, ..Hardware::default() }
    };
    let hosts = suites.iter().map(|(number, suite)| {
        HostSpec::new(format!("disks-{number}").parse().unwrap(), *suite).machine(hardware())
    });
    let lab = Lab::up(&LabFolder::default(), &Spec::of(hosts), &tell).expect("the machines come up");
    note(&format!("machines after {:.0} s", begun.elapsed().as_secs_f32()));
    let mut failed = Vec::new();
    std::thread::scope(|scope| {
        let running: Vec<_> = suites
            .iter()
            .map(|(number, _)| {
                let host = lab.host(&format!("disks-{number}")).unwrap();
                scope.spawn(move || all_layouts(host, number, tail))
            })
            .collect();
        for one in running {
            failed.extend(one.join().unwrap());
        }
    });
    note(&format!(
        "{} layouts on {} machines in {:.0} s",
        LAYOUTS.len(),
        suites.len(),
        begun.elapsed().as_secs_f32()
    ));
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn all_layouts(host: Host<'_>, number: &str, tail: bool) -> Vec<String> {
    let mut failed = Vec::new();
    // a developer may look at some of them alone
    let only = std::env::var("PALISADE_LAYOUTS").ok();
    let wanted = |layout: &&Layout| match &only {
        Some(only) => only.split(',').any(|name| name == layout.name),
        None => tail || !layout.slow,
    };
    for layout in LAYOUTS.iter().filter(wanted) {
        let begun = Instant::now();
        if let Err(why) = shell(host, layout.make) {
            // what is half made would stand in the way of all others
            failed.push(format!("{}, Debian {number}: it could not be made: {why}", layout.name));
            drop(shell(host, layout.undo));
            continue;
        }
        let spec = spec(layout);
        let frame = ask(host, &spec);
        let seen = judge(&spec, &frame);
        if let Err(why) = shell(host, layout.undo) {
            failed.push(format!("{}, Debian {number}: it could not be taken away: {why}", layout.name));
        }
        note(&format!(
            "{} on {}: {} ({:.0} s)",
            layout.name,
            host.name(),
            seen.0,
            begun.elapsed().as_secs_f32()
        ));
        if seen.0 != layout.verdict || !seen.1.contains(layout.says) {
            failed.push(format!(
                "{}, Debian {number}: {} and not {}, or it does not say `{}`:\n{}\n{}",
                layout.name,
                seen.0,
                layout.verdict,
                layout.says,
                seen.1,
                String::from_utf8_lossy(&frame.stdout)
            ));
        } else if blessing() {
            write_case(layout, number, &frame);
        } else if let Err(why) = as_the_case_says(layout, number, &seen) {
            failed.push(why);
        }
    }
    failed
}

fn shell(host: Host<'_>, text: &'static str) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    let script = Script::new().text(PRELUDE).text(text);
    let output = host.run_within(&script, SHELL_WITHIN).map_err(|error| error.to_string())?;
    if output.exit.success() {
        return Ok(());
    }
    Err(format!(
        "{:?}: {}{}",
        output.exit,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// The resource, as a playbook declares it.
fn spec(layout: &Layout) -> Resource {
    serde_json::from_value(serde_json::json!({ "encryption": { "except": except(layout) } })).unwrap()
}

fn except(layout: &Layout) -> Vec<&'static str> {
    let mut except = vec!["/boot", "/boot/efi", "/efi", "/srv/packages"];
    if !layout.root_counts {
        except.push("/");
    }
    except
}

/// Asks as an audit does.
fn ask(host: Host<'_>, spec: &Resource) -> Frame {
    let questions = kinds::questions(&[spec]);
    let nonce = Nonce::new(*b"layouts of disks");
    let script = Script::new().framed(&nonce, &questions);
    let output = host.run_within(&script, SHELL_WITHIN).unwrap();
    shell::frame(&output, &nonce, &questions[0]).unwrap()
}

/// The verdict's word, and all that it says.
fn judge(spec: &Resource, frame: &Frame) -> (&'static str, String) {
    let now = "2026-11-28T22:00:00Z".parse().unwrap();
    let reading = kinds::read(&[spec], |_| Ok(frame.clone())).remove(0);
    let verdict = match reading {
        Ok(answer) => spec.judge(&answer, now),
        Err(unread) => Verdict::Unknown { reason: unread.to_string() },
    };
    let says = match &verdict {
        Verdict::Compliant { notes } => notes.join("\n"),
        Verdict::Drift { findings } | Verdict::Waived { findings, .. } => findings.join("\n"),
        Verdict::NotApplicable { reason } | Verdict::Unknown { reason } => reason.clone(),
    };
    (verdict.word(), says)
}

fn case_path(layout: &Layout, number: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(format!("tests/cases/encryption/debian-{number}-{}.yaml", layout.name))
}

fn write_case(layout: &Layout, number: &str, frame: &Frame) {
    let head = format!(
        "about: {}\nspec:\n  encryption:\n    except: [{}]\nsource: debian-{number}\n",
        serde_json::to_string(layout.about).unwrap(),
        except(layout).join(", ")
    );
    let path = case_path(layout, number);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    cases::write_captured(&path, &head, "2026-11-28T22:00:00Z".parse().unwrap(), frame);
}

/// Whether the machine is judged as the case that was captured from one like it. Names of disks may differ, and versions
/// of kernels.
fn as_the_case_says(layout: &Layout, number: &str, seen: &(&str, String)) -> Result<(), String> {
    let path = case_path(layout, number);
    let text = std::fs::read_to_string(&path).map_err(|why| format!("{}: {why}", path.display()))?;
    let case = cases::Case::parse(&text)?;
    if case.expected.verdict == seen.0 {
        return Ok(());
    }
    Err(format!("{}: the machine is {}, not {}", path.display(), seen.0, case.expected.verdict))
}

fn render() -> String {
    let mut text = String::from("\n| layout | verdict | it says |\n|---|---|---|\n");
    for layout in LAYOUTS {
        let case = cases::Case::parse(&std::fs::read_to_string(case_path(layout, "12")).unwrap()).unwrap();
        let expected = case.expected;
        let lines = [expected.findings, expected.notes, expected.reason.into_iter().collect()].concat();
        let says = lines.iter().find(|line| line.contains(layout.says)).cloned().unwrap_or_default();
        let _ = writeln!(text, "| {} | {} | {says} |", layout.about, layout.verdict);
    }
    text.push('\n');
    text
}

fn the_document_shows_every_layout() {
    section("docs/encryption.md", BEGIN, END, &render());
}
