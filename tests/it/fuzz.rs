//! The properties of `fuzz/` over their seeds and some thousand mutations of them, the same in every run. The fuzzer
//! itself, which looks for new code, is `make fuzz`.

#[path = "../../fuzz/properties/mod.rs"]
mod properties;

/// Mutations of each seed.
const MUTATIONS: u64 = 400;

/// A generator of numbers that are random enough (splitmix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next() % (most.max(1) as u64)).unwrap()
    }
}

/// One change: a byte, a bit, a piece doubled or left out, or a piece of another seed.
fn change(input: &mut Vec<u8>, seeds: &[&str], chance: &mut Chance) {
    let at = chance.below(input.len());
    let piece = at..(at + 1 + chance.below(8)).min(input.len());
    match chance.below(6) {
        _ if input.is_empty() => input.push(b'{'),
        0 => input[at] = u8::try_from(chance.below(256)).unwrap(),
        1 => input[at] ^= 1 << chance.below(8),
        2 => input.insert(at, b"0123456789-.eE\"\\{}[],:"[chance.below(22)]),
        3 => drop(input.drain(piece)),
        4 => {
            let piece = input[piece].to_vec();
            input.splice(at..at, piece);
        }
        _ => {
            let other = seeds[chance.below(seeds.len())].as_bytes();
            let from = chance.below(other.len());
            let until = (from + 1 + chance.below(16)).min(other.len());
            input.splice(at..at, other[from..until].iter().copied());
        }
    }
}

#[test]
fn the_properties_hold_for_the_seeds_and_for_mutations_of_them() {
    for (name, holds, seeds) in properties::ALL {
        let seeds: Vec<_> = seeds.lines().collect();
        assert!(!seeds.is_empty(), "{name}");
        for (seed, number) in seeds.iter().zip(1..) {
            let mut chance = Chance(number);
            holds(seed.as_bytes());
            for _ in 0..MUTATIONS {
                let mut input = seed.as_bytes().to_vec();
                for _ in 0..=chance.below(4) {
                    change(&mut input, &seeds, &mut chance);
                }
                holds(&input);
            }
        }
    }
}
