//! The three number types in which statistics are computed.
//!
//! Every numeric source type fits one of them exactly: floats, booleans and integers of up to 32 bits are computed as
//! `f64`, 64-bit integers as `i64` or `u64`, so integers beyond 2^53 keep their order.

use crate::column::Values;
use std::fmt::Debug;

/// A number type in which values are ordered, binned and compared.
pub trait Domain: Copy + PartialOrd + PartialEq + Send + Sync + Debug + Default + 'static {
    /// Which of the three it is.
    const COMMON: Common;
    /// The least value, minus infinity if there is one, and the greatest.
    const ENDS: (Self, Self);
    /// The least finite value, and the greatest.
    const FINITE_ENDS: (Self, Self);
    /// The values themselves, if they are stored in this type.
    fn borrow(values: Values<'_>) -> Option<&[Self]>;
    /// The values as floats, if this is their type.
    fn as_floats(_values: &[Self]) -> Option<&[f64]> {
        None
    }
    /// Convert a float; integer domains truncate and saturate.
    fn from_f64(value: f64) -> Self;
    /// Convert a signed integer.
    fn from_i64(value: i64) -> Self;
    /// Convert an unsigned integer.
    fn from_u64(value: u64) -> Self;
    /// Convert to a float, rounding to nearest: never reverses an order.
    fn to_f64(self) -> f64;
    /// An integer that orders exactly as the values do; equal values (0.0 and -0.0) have equal keys.
    fn key(self) -> u64;
    /// The value that has a key; of equal values, the positive zero.
    fn of_key(key: u64) -> Self;
    /// The 64 bits in which the value is stored.
    fn bits(self) -> u64;
    /// The least value above this one, if there is one.
    fn next_up(self) -> Option<Self>;
    /// The distance to a value that is not below this one, rounded once.
    fn gap(self, above: Self) -> f64;
    /// False for NaN and the infinities.
    fn is_finite(self) -> bool;
    /// A number whose top bit is set for NaN and the infinities alone: such numbers can be joined by `|`.
    fn special(self) -> u64;
    /// True for NaN.
    fn is_nan(self) -> bool;
}

/// The bits of a float's exponent.
const EXPONENT: u64 = 0x7ff0_0000_0000_0000;

impl Domain for f64 {
    const COMMON: Common = Common::Float;
    const ENDS: (Self, Self) = (f64::NEG_INFINITY, f64::INFINITY);
    const FINITE_ENDS: (Self, Self) = (f64::MIN, f64::MAX);

    fn borrow(values: Values<'_>) -> Option<&[Self]> {
        match values {
            Values::F64(values) => Some(values),
            _ => None,
        }
    }
    #[inline(always)]
    fn as_floats(values: &[Self]) -> Option<&[f64]> {
        Some(values)
    }
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value
    }
    #[inline(always)]
    fn from_i64(value: i64) -> Self {
        value as f64
    }
    #[inline(always)]
    fn from_u64(value: u64) -> Self {
        value as f64
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
    #[inline(always)]
    fn key(self) -> u64 {
        // Adding zero turns -0.0 into 0.0; the sign bit then selects which bits to flip.
        let bits = (self + 0.0).to_bits();
        bits ^ ((((bits as i64) >> 63) as u64) | (1 << 63))
    }
    #[inline(always)]
    fn of_key(key: u64) -> Self {
        f64::from_bits(if key >> 63 == 1 {
            key ^ (1 << 63)
        } else {
            !key
        })
    }
    #[inline(always)]
    fn bits(self) -> u64 {
        self.to_bits()
    }
    fn next_up(self) -> Option<Self> {
        if self.is_nan() || self == f64::INFINITY {
            return None;
        }
        Some(f64::next_up(self))
    }
    #[inline(always)]
    fn gap(self, above: Self) -> f64 {
        above - self
    }
    #[inline(always)]
    fn is_finite(self) -> bool {
        self.abs() < f64::INFINITY
    }
    #[inline(always)]
    fn special(self) -> u64 {
        // An exponent of ones carries into the sign's place.
        (self.to_bits() & EXPONENT) + (1 << EXPONENT.trailing_zeros())
    }
    #[inline(always)]
    fn is_nan(self) -> bool {
        f64::is_nan(self)
    }
}

macro_rules! integer_domain {
    ($kind:ty, $variant:ident, $common:ident, $offset:expr) => {
        impl Domain for $kind {
            const COMMON: Common = Common::$common;
            const ENDS: (Self, Self) = (<$kind>::MIN, <$kind>::MAX);
            const FINITE_ENDS: (Self, Self) = Self::ENDS;

            fn borrow(values: Values<'_>) -> Option<&[Self]> {
                match values {
                    Values::$variant(values) => Some(values),
                    _ => None,
                }
            }
            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                value as $kind
            }
            #[inline(always)]
            fn from_i64(value: i64) -> Self {
                value as $kind
            }
            #[inline(always)]
            fn from_u64(value: u64) -> Self {
                value as $kind
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn key(self) -> u64 {
                (self as u64) ^ $offset
            }
            #[inline(always)]
            fn of_key(key: u64) -> Self {
                (key ^ $offset) as Self
            }
            #[inline(always)]
            fn bits(self) -> u64 {
                self as u64
            }
            fn next_up(self) -> Option<Self> {
                self.checked_add(1)
            }
            #[inline(always)]
            fn gap(self, above: Self) -> f64 {
                // The distance of two signed integers may be more than a signed integer holds.
                above.wrapping_sub(self) as u64 as f64
            }
            #[inline(always)]
            fn is_finite(self) -> bool {
                true
            }
            #[inline(always)]
            fn special(self) -> u64 {
                0
            }
            #[inline(always)]
            fn is_nan(self) -> bool {
                false
            }
        }
    };
}

integer_domain!(i64, I64, Signed, 1 << 63);
integer_domain!(u64, U64, Unsigned, 0);

/// Which domain two columns share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Common {
    /// Floats, or types that a float holds exactly, or a mix of types that only a float can hold (then rounded).
    Float,
    /// Signed 64-bit integers.
    Signed,
    /// Unsigned 64-bit integers.
    Unsigned,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_order_as_floats_do(a in any::<f64>(), b in any::<f64>()) {
            prop_assume!(!a.is_nan() && !b.is_nan());
            prop_assert_eq!(a.partial_cmp(&b), Some(a.key().cmp(&b.key())));
            prop_assert_eq!(f64::of_key(a.key()), a);
        }

        #[test]
        fn keys_order_as_integers_do(a in any::<i64>(), b in any::<i64>()) {
            prop_assert_eq!(a.cmp(&b), a.key().cmp(&b.key()));
            prop_assert_eq!(i64::of_key(a.key()), a);
            prop_assert_eq!(u64::of_key((b as u64).key()), b as u64);
        }
    }

    #[test]
    fn gaps_of_integers_are_whole() {
        assert_eq!(i64::MIN.gap(i64::MAX), 2f64.powi(64));
        assert_eq!(((1u64 << 60) + 1).gap((1 << 60) + 4), 3.0);
        assert_eq!((-2.5f64).gap(1.0), 3.5);
    }

    #[test]
    fn zeros_share_a_key() {
        assert_eq!((0.0f64).key(), (-0.0f64).key());
    }
}
