//! The claims of the fuzz targets on their seeds, on every beginning of a seed and on every seed that lacks a byte.
//!
//! The search itself is `tests/fuzz/run`; what it ever found is among the seeds.

use std::path::Path;

use openai_scim_bridge::scim;

#[expect(unreachable_pub, reason = "the fuzz package uses them from another crate")]
#[path = "../fuzz/src/targets.rs"]
mod targets;

#[test]
fn seeds_and_what_is_nearly_a_seed_keep_the_claims() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds");
    for (name, target) in targets::ALL {
        let seeds: Vec<_> = std::fs::read_dir(folder.join(name))
            .unwrap()
            .map(|seed| std::fs::read(seed.unwrap().path()).unwrap())
            .collect();
        assert!(!seeds.is_empty(), "{name} has no seeds");
        for seed in seeds {
            target(&seed);
            for index in 0..seed.len() {
                target(&seed[..index]);
                let mut shorter = seed.clone();
                shorter.remove(index);
                target(&shorter);
            }
        }
    }
}
