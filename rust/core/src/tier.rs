//! Which vector instructions the kernels use.
//!
//! All tiers run the same code, compiled for more or fewer instructions, and give the same bits. By default the best tier that
//! the processor has is used. The environment variable [`VARIABLE`] names the best one that may be used: a processor without
//! it uses the next one down, so that one setting serves machines of several kinds. It is read once.

use crate::error::Error;
use std::sync::OnceLock;

/// The environment variable that limits the tier.
pub const VARIABLE: &str = "TIDEWHEEL_SIMD";

/// A set of instructions; each holds those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// What every processor of the platform has.
    Portable,
    /// 256-bit vectors (x86-64).
    Avx2,
    /// 512-bit vectors (x86-64).
    Avx512,
}

impl Tier {
    /// All tiers, the least first.
    pub const ALL: [Tier; 3] = [Tier::Portable, Tier::Avx2, Tier::Avx512];

    /// The name that [`VARIABLE`] knows it by.
    pub fn name(self) -> &'static str {
        match self {
            Tier::Portable => "portable",
            Tier::Avx2 => "avx2",
            Tier::Avx512 => "avx512",
        }
    }

    /// The best tier of this processor.
    pub fn detected() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            let has_all = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            return if has_all { Tier::Avx512 } else { Tier::Avx2 };
        }
        Tier::Portable
    }

    /// The tier in use. With a name that no tier has it is the best one; whoever wants to know calls [`Tier::chosen`].
    pub fn used() -> Self {
        static USED: OnceLock<Tier> = OnceLock::new();
        *USED.get_or_init(|| Tier::chosen().unwrap_or_else(|_| Tier::detected()))
    }

    /// The tier that the processor and the environment allow.
    ///
    /// # Errors
    /// [`Error::Input`] for a name that no tier has.
    pub fn chosen() -> Result<Self, Error> {
        match std::env::var_os(VARIABLE) {
            None => Ok(Tier::detected()),
            Some(name) => {
                Tier::named(&name.to_string_lossy()).map(|tier| tier.min(Tier::detected()))
            }
        }
    }

    fn named(name: &str) -> Result<Self, Error> {
        let known = Tier::ALL.map(Tier::name).join(", ");
        Tier::ALL
            .into_iter()
            .find(|tier| tier.name() == name)
            .ok_or_else(|| {
                Error::Input(format!("`{VARIABLE}` must be one of {known}; got {name:?}"))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiers_have_names() {
        for tier in Tier::ALL {
            assert_eq!(Tier::named(tier.name()).ok(), Some(tier));
        }
        let error = Tier::named("sse9").unwrap_err().to_string();
        assert_eq!(
            error,
            "`TIDEWHEEL_SIMD` must be one of portable, avx2, avx512; got \"sse9\""
        );
        assert!(Tier::used() <= Tier::detected());
    }
}
