//! What happens to somebody who tries to get in: a host of another environment, which nobody of this one manages, offers
//! a wrong key five times, and its sixth connection gets no answer.

use super::moment::DemoError;
use super::teller::Teller;
use crate::shell::{Arg, Script};

/// Who tries, and where.
const STRANGER: &str = "dev-1";
const TARGET: &str = "test-1";

/// Tries until a connection gets no answer; says how many were refused, and what became of the last.
const TRY: &str = r#"cd "$(mktemp -d)" && ssh-keygen -q -t ed25519 -N '' -f wrong || exit
n=0
while [ "$n" -lt 10 ]; do
  ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=3 \
    -o IdentitiesOnly=yes -i wrong "alice@$target" true >said 2>&1
  grep -q 'Permission denied' said || break
  n=$((n + 1))
done
echo "$n"
tail -n 1 said"#;

const BLOCKED: &str = r#"case $address in *:*) set=ban6 ;; *) set=ban4 ;; esac
n=0
until nft get element inet palisade-bans "$set" "{ $address }" 2>/dev/null; do
  n=$((n + 1))
  [ "$n" -lt 100 ] || exit 1
  sleep 0.1
done"#;

pub(super) fn tell(teller: &mut Teller) -> Result<(), DemoError> {
    let stranger = teller.lab.host(STRANGER)?;
    let (Some(from), Some(target)) = (stranger.public_address(), teller.lab.host(TARGET)?.public_address())
    else {
        return Err(DemoError::NotSeen {
            wanted: format!("{STRANGER} and {TARGET} on one network"),
            found: "no address".to_owned(),
        });
    };
    let script = Script::new().set("target", Arg::lossy(target.to_string())).text(TRY);
    let output = stranger.run(&script)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = said.lines();
    let (refused, last) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let wanted = format!(
        "{STRANGER}, a stranger to {TARGET}, offers it a wrong key five times; the sixth gets no answer"
    );
    teller
        .see(refused == "5" && last.contains("timed out"), &wanted, || crate::text::visible_block(&said))?;
    let script = Script::new().set("address", Arg::lossy(from.to_string())).text(BLOCKED);
    let output = teller.lab.host(TARGET)?.run(&script)?;
    let wanted = format!("the kernel of {TARGET} drops whatever comes from {from}, for a day");
    teller.see(output.exit.success(), &wanted, || "it does not".to_owned())
}
