//! Cursors: what was sealed opens for its own list, and nothing else opens at all.

use std::sync::LazyLock;

use blotter::service::CursorKey;

static KEY: LazyLock<CursorKey> = LazyLock::new(|| CursorKey::of("a secret of the properties"));

/// The first two bytes say which byte of a cursor is changed and how; a `/` ends the name of the list, and what follows
/// is where it goes on.
pub fn open_unchanged_alone(input: &[u8]) {
    let Some((&[place, change], text)) = input.split_first_chunk() else { return };
    let Ok(text) = str::from_utf8(text) else { return };
    let (list, after) = text.split_once('/').unwrap_or(("", text));
    assert!(KEY.open(list, text).is_err(), "{text:?} was never sealed");
    let cursor = KEY.seal(list, after);
    assert_eq!(KEY.open(list, &cursor).ok().as_deref(), Some(after));
    assert!(KEY.open(&format!("{list}/"), &cursor).is_err(), "of another list");
    let mut changed = cursor.clone().into_bytes();
    let place = usize::from(place) % changed.len();
    changed[place] ^= change.max(1);
    if let Ok(changed) = String::from_utf8(changed) {
        assert!(KEY.open(list, &changed).is_err(), "{changed:?} for {cursor:?}");
    }
    assert!(KEY.open(list, &cursor[..place]).is_err(), "cut at {place}");
    assert!(KEY.open(list, &format!("{cursor}A")).is_err(), "one more");
}
