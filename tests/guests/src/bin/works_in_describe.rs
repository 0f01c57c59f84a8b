//! Uses its task before it has one: it saves, reserves and logs when it is asked what it is.

use apflow_guests::{Descriptor, Executor, budget, checkpoint, executor, log};

struct WorksInDescribe;

impl Executor for WorksInDescribe {
    fn describe(honest: Descriptor) -> Descriptor {
        log::progress(0.5, "halfway");
        let is_saved = checkpoint::save("described", b"value").is_ok();
        let is_reserved = budget::reserve(1).is_ok_and(|reservation| reservation.amount() > 0);
        // Its own name would be no lie: it shows that the host gave in.
        let id = if is_saved || is_reserved { honest.id } else { "nothing".to_owned() };
        Descriptor { id, ..honest }
    }
}

executor!(WorksInDescribe);
