//! The data directory is made here, by whoever comes first: secrets, the signing key, the lock or the cluster.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Of its owner alone.
const OWN: u32 = 0o700;
/// The private Postgres of root runs as another user, who has to come through to its cluster.
const PASSABLE: u32 = 0o711;

/// Makes the directory and those above it, if it is not there; one that is there stays as it is. Nobody else can list
/// it or write in it.
///
/// # Errors
/// It cannot be made.
pub fn make(directory: &Path) -> io::Result<()> {
    let mode = if rustix::process::geteuid().is_root() { PASSABLE } else { OWN };
    DirBuilder::new().recursive(true).mode(mode).create(directory)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn nobody_else_can_list_a_data_directory_or_write_in_it_and_one_that_is_there_stays_as_it_is() {
        let scratch = std::env::temp_dir().join(format!("blotter-{}-made", std::process::id()));
        let mode = || std::fs::metadata(&scratch).unwrap().permissions().mode() & 0o777;
        make(&scratch).unwrap();
        assert_eq!(mode() & 0o066, 0, "{:o}", mode());
        std::fs::set_permissions(&scratch, std::fs::Permissions::from_mode(0o750)).unwrap();
        make(&scratch).unwrap();
        assert_eq!(mode(), 0o750);
        std::fs::remove_dir(&scratch).unwrap();
    }
}
