//! How a thread that works for long steps aside: for everything else that wants a core.
//!
//! The lowest priority is not enough. Since Linux 6.6 a thread may keep its core to the end of its turn whatever its priority
//! is, by the kernel's defaults some 1 to 3 ms, and an order wakes several threads on its way. So it asks for the shortest
//! turns too, which Linux grants since 6.12; an older one has no use for the number and ignores it. Costs one system
//! call a thread.

/// The priority that takes what others leave over (`nice`).
pub(super) const NICE: i32 = 19;

/// Gives this thread the lowest priority and the shortest turns.
///
/// # Errors
/// The system refuses it.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the length of a thread's turns has no safe call")]
pub(super) fn step_aside() -> std::io::Result<()> {
    use libc::{SCHED_OTHER, SYS_sched_setattr, sched_attr, syscall};

    /// Nanoseconds of a turn: no kernel grants less.
    const TURN: u64 = 100_000;
    /// Bytes of `sched_attr` as they have been since the call is there.
    const SIZE: u32 = 48;
    let wanted = sched_attr {
        size: SIZE,
        sched_policy: SCHED_OTHER.cast_unsigned(),
        sched_flags: 0,
        sched_nice: NICE,
        sched_priority: 0,
        sched_runtime: TURN,
        sched_deadline: 0,
        sched_period: 0,
    };
    const { assert!(size_of::<sched_attr>() == SIZE as usize) };
    // SAFETY: the kernel reads `size` bytes of `wanted`, which are all of it, and writes nothing. 0 is the calling thread.
    match unsafe { syscall(SYS_sched_setattr, 0, &raw const wanted, 0) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Gives this thread the lowest priority.
///
/// # Errors
/// The system refuses it.
#[cfg(not(target_os = "linux"))]
pub(super) fn step_aside() -> std::io::Result<()> {
    Ok(rustix::process::setpriority_process(None, NICE).map(drop)?)
}
