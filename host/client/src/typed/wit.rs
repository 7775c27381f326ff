//! The conversions of types that have a name in WIT, made by the macro [`crate::wit!`].
//!
//! A generated module declares its types as plain Rust, and their WIT names in one `wit!` each. The code
//! of the macro is thin and calls the functions here.
//! Leaves out checks of the names: the module was written by a program that read the WIT.

use aspen_core::val::Val;

use crate::typed::convert::{FromPayload, FromVal, Mismatch};

/// Writes the conversions of a record, variant, enum or flags type, or the list of a component's functions.
///
/// ```
/// #[derive(Clone, Debug, PartialEq)]
/// pub struct Receipt {
///     pub from_balance: u64,
/// }
///
/// aspen_client::wit! {
///     record Receipt = "receipt" {
///         from_balance = "from-balance",
///     }
/// }
///
/// use aspen_client::typed::{FromVal, IntoVal};
/// let receipt = Receipt { from_balance: 70 };
/// assert_eq!(Receipt::from_val(receipt.clone().into_val()), Ok(receipt));
/// let error = Receipt::from_val(7u64.into_val()).unwrap_err();
/// assert_eq!(error.to_string(), "expected record receipt, found u64");
/// ```
#[macro_export]
macro_rules! wit {
    (record $rust:ident = $wit:literal { $($field:ident = $text:literal),* $(,)? }) => {
        impl $crate::typed::IntoVal for $rust {
            fn into_val(self) -> $crate::Val {
                $crate::Val::Record(::std::vec![$((
                    ::std::string::String::from($text),
                    $crate::typed::IntoVal::into_val(self.$field),
                )),*])
            }
        }

        impl $crate::typed::FromVal for $rust {
            fn from_val(
                val: $crate::Val,
            ) -> ::std::result::Result<Self, $crate::typed::Mismatch> {
                let mut fields = $crate::typed::fields($wit, &[$($text),*], val)?;
                ::std::result::Result::Ok(Self {
                    $($field: $crate::typed::field($wit, $text, &mut fields)?),*
                })
            }
        }
    };
    (variant $rust:ident = $wit:literal {
        $($case:ident $(($payload:ident))? = $text:literal),* $(,)?
    }) => {
        impl $crate::typed::IntoVal for $rust {
            fn into_val(self) -> $crate::Val {
                match self {
                    $(Self::$case $(($payload))? => $crate::Val::Variant(
                        ::std::string::String::from($text),
                        $crate::wit!(@payload $($payload)?),
                    ),)*
                }
            }
        }

        impl $crate::typed::FromVal for $rust {
            fn from_val(
                val: $crate::Val,
            ) -> ::std::result::Result<Self, $crate::typed::Mismatch> {
                let (case, payload) = $crate::typed::case($wit, val)?;
                match case.as_str() {
                    $($text => $crate::wit!(
                        @case $wit, $text, Self::$case, payload $(, $payload)?
                    ),)*
                    _ => ::std::result::Result::Err($crate::typed::unknown("variant", $wit, &case)),
                }
            }
        }
    };
    (enum $rust:ident = $wit:literal { $($case:ident = $text:literal),* $(,)? }) => {
        impl $crate::typed::IntoVal for $rust {
            fn into_val(self) -> $crate::Val {
                $crate::Val::Enum(::std::string::String::from(match self {
                    $(Self::$case => $text,)*
                }))
            }
        }

        impl $crate::typed::FromVal for $rust {
            fn from_val(
                val: $crate::Val,
            ) -> ::std::result::Result<Self, $crate::typed::Mismatch> {
                let $crate::Val::Enum(case) = &val else {
                    return ::std::result::Result::Err($crate::typed::Mismatch::new(
                        ::std::concat!("enum ", $wit),
                        &val,
                    ));
                };
                match case.as_str() {
                    $($text => ::std::result::Result::Ok(Self::$case),)*
                    _ => ::std::result::Result::Err($crate::typed::unknown("enum", $wit, case)),
                }
            }
        }
    };
    (flags $rust:ident = $wit:literal { $($flag:ident = $text:literal),* $(,)? }) => {
        impl $crate::typed::IntoVal for $rust {
            fn into_val(self) -> $crate::Val {
                let all = [$((self.$flag, $text)),*];
                let set = all.into_iter().filter(|(is_set, _)| *is_set);
                $crate::Val::Flags(set.map(|(_, flag)| ::std::string::String::from(flag)).collect())
            }
        }

        impl $crate::typed::FromVal for $rust {
            fn from_val(
                val: $crate::Val,
            ) -> ::std::result::Result<Self, $crate::typed::Mismatch> {
                let mut flags = Self::default();
                for flag in $crate::typed::flags($wit, val)? {
                    match flag.as_str() {
                        $($text => flags.$flag = true,)*
                        _ => {
                            let unknown = $crate::typed::unknown("flags", $wit, &flag);
                            return ::std::result::Result::Err(unknown);
                        }
                    }
                }
                ::std::result::Result::Ok(flags)
            }
        }
    };
    (functions $name:ident { $($signature:literal),* $(,)? }) => {
        const $name: &[&str] = &[$($signature),*];
    };
    (@payload) => {
        ::std::option::Option::None
    };
    (@payload $payload:ident) => {
        ::std::option::Option::Some(::std::boxed::Box::new(
            $crate::typed::IntoVal::into_val($payload),
        ))
    };
    (@case $wit:literal, $text:literal, $variant:expr, $val:ident) => {
        $crate::typed::no_payload($wit, $text, $val).map(|()| $variant)
    };
    (@case $wit:literal, $text:literal, $variant:expr, $val:ident, $payload:ident) => {
        $crate::typed::payload($wit, $text, $val).map($variant)
    };
}

/// Returns the values of a record's fields, which must have these names in this order.
#[doc(hidden)]
pub fn fields(
    record: &str,
    names: &[&str],
    val: Val,
) -> Result<impl Iterator<Item = Val> + use<>, Mismatch> {
    match val {
        Val::Record(fields)
            if fields.iter().map(|(name, _)| name.as_str()).eq(names.iter().copied()) =>
        {
            Ok(fields.into_iter().map(|(_, val)| val))
        }
        Val::Record(_) => {
            let expected = format!("record {record} {{ {} }}", names.join(", "));
            Err(Mismatch::new(expected, &val))
        }
        other => Err(Mismatch::new(format!("record {record}"), &other)),
    }
}

/// Takes the next field of a record.
#[doc(hidden)]
pub fn field<T: FromVal>(
    record: &str,
    field: &str,
    vals: &mut impl Iterator<Item = Val>,
) -> Result<T, Mismatch> {
    T::from_payload(vals.next()).map_err(|mismatch| mismatch.within(field).within(record))
}

/// Returns case and payload of a variant.
#[doc(hidden)]
pub fn case(variant: &str, val: Val) -> Result<(String, Option<Box<Val>>), Mismatch> {
    match val {
        Val::Variant(case, payload) => Ok((case, payload)),
        other => Err(Mismatch::new(format!("variant {variant}"), &other)),
    }
}

/// Returns the payload of a case that has one.
#[doc(hidden)]
pub fn payload<T: FromVal>(
    variant: &str,
    case: &str,
    payload: Option<Box<Val>>,
) -> Result<T, Mismatch> {
    let payload = T::from_payload(payload.map(|val| *val));
    payload.map_err(|mismatch| mismatch.within(case).within(variant))
}

/// Checks that a case without a payload came without one.
#[doc(hidden)]
pub fn no_payload(variant: &str, case: &str, payload: Option<Box<Val>>) -> Result<(), Mismatch> {
    let payload = <()>::from_payload(payload.map(|val| *val));
    payload.map_err(|mismatch| mismatch.within(case).within(variant))
}

/// Returns the flags that are set.
#[doc(hidden)]
pub fn flags(name: &str, val: Val) -> Result<Vec<String>, Mismatch> {
    match val {
        Val::Flags(set) => Ok(set),
        other => Err(Mismatch::new(format!("flags {name}"), &other)),
    }
}

/// Makes the error for a case or flag that this client does not know.
#[doc(hidden)]
pub fn unknown(form: &str, name: &str, found: &str) -> Mismatch {
    Mismatch::other(format!("{form} {name} as this client knows it"), found)
}
