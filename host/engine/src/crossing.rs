//! How a provider's functions are reached from a worker process: there each of them asks the host, here it is answered by
//! the provider itself. What is asked and answered crosses as bytes that only the provider reads and writes.

use std::future::Future;
use std::pin::Pin;

use serde::Serialize;
use serde::de::DeserializeOwned;
use wasmtime::component::{ComponentNamedList, Lift, LinkerInstance, Lower, ResourceType};

use crate::CallState;

/// An answer to a guest in a worker process under way: its bytes, or the error that ends the call.
pub type CrossingAnswer<'a> = Pin<Box<dyn Future<Output = wasmtime::Result<Vec<u8>>> + Send + 'a>>;

/// What a worker asked is nothing a worker of this host asks.
#[derive(Clone, Debug)]
pub struct NotUnderstood(String);

impl NotUnderstood {
    /// There is no such function.
    pub fn function(function: &str) -> Self {
        let name: String = function.chars().take(100).collect();
        Self(format!("it asked for a function {name}, which there is not"))
    }
}

impl std::fmt::Display for NotUnderstood {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotUnderstood {}

/// A value as it crosses. Bytes in it go as they are.
///
/// # Errors
/// Never for the values that WIT knows.
pub fn cross(value: &impl Serialize) -> wasmtime::Result<Vec<u8>> {
    postcard::to_allocvec(value).map_err(|e| wasmtime::format_err!("a value cannot cross: {e}"))
}

/// A value that crossed; reading is safe whoever wrote it, and takes memory as bytes come.
///
/// # Errors
/// `NotUnderstood`: the bytes are no such value, or more than one.
pub fn crossed<T: DeserializeOwned>(bytes: &[u8]) -> wasmtime::Result<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, _)) => Err(NotUnderstood("something follows the end of what it asked".into()).into()),
        Err(error) => Err(NotUnderstood(format!("what it asked cannot be read: {error}")).into()),
    }
}

/// Defines a function of an interface in a worker process: what the guest asks is asked of the host.
///
/// `interface` is named without its version. `out` makes of the parameters what crosses, `back` the result of what comes
/// back; handles cross as their numbers.
///
/// # Errors
/// A function of that name is there already.
pub fn ask_host<P, Q, W, R>(
    instance: &mut LinkerInstance<'_, CallState>,
    interface: &'static str,
    function: &'static str,
    out: impl Fn(P) -> Q + Copy + Send + Sync + 'static,
    back: impl Fn(W) -> R + Copy + Send + Sync + 'static,
) -> wasmtime::Result<()>
where
    P: ComponentNamedList + Lift + Send + 'static,
    Q: Serialize,
    W: DeserializeOwned,
    R: Lower + Send + 'static,
{
    instance.func_wrap_async(function, move |mut store, params: P| {
        Box::new(async move {
            // Made and written before the first wait: nothing of it is kept across.
            let asked = cross(&out(params))?;
            let answer = store.data_mut().ask_provider(interface, function, asked).await?;
            Ok::<(R,), wasmtime::Error>((back(crossed::<W>(&answer)?),))
        })
    })
}

/// Defines a resource of an interface in a worker process: the host holds what stands behind its handles, and is asked to
/// drop it by the function named.
///
/// # Errors
/// A resource of that name is there already.
pub fn resource_of_host<T: 'static>(
    instance: &mut LinkerInstance<'_, CallState>,
    interface: &'static str,
    resource: &str,
    drop_function: &'static str,
) -> wasmtime::Result<()> {
    instance.resource_async(resource, ResourceType::host::<T>(), move |mut store, rep| {
        Box::new(async move {
            let asked = cross(&rep)?;
            let answer = store.data_mut().ask_provider(interface, drop_function, asked).await?;
            crossed::<()>(&answer)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Asked = (String, Option<Vec<u8>>, Result<Vec<(String, u64)>, String>);

    proptest! {
        #[test]
        fn a_value_comes_back_as_it_was_and_every_cut_and_addition_is_refused(
            name in ".{0,12}",
            bytes in proptest::option::of(prop::collection::vec(any::<u8>(), 0..40)),
            pairs in prop::collection::vec((".{0,6}", any::<u64>()), 0..5),
            cut in any::<prop::sample::Index>(),
        ) {
            let asked: Asked = (name, bytes, Ok(pairs));
            let written = cross(&asked).unwrap();
            prop_assert_eq!(crossed::<Asked>(&written).unwrap(), asked);
            prop_assert!(crossed::<Asked>(&written[..cut.index(written.len())]).is_err());
            prop_assert!(crossed::<Asked>(&[written.as_slice(), &[0]].concat()).is_err());
        }

        #[test]
        fn any_bytes_at_all_are_read_or_not_understood(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Err(error) = crossed::<Asked>(&bytes) {
                prop_assert!(error.is::<NotUnderstood>());
            }
        }
    }

    #[test]
    fn a_count_that_the_bytes_cannot_hold_takes_no_memory() {
        let count = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert!(crossed::<Vec<u64>>(&count).is_err());
        assert!(crossed::<Vec<u8>>(&count).is_err());
        assert!(crossed::<String>(&count).is_err());
    }

    #[test]
    fn bytes_cross_as_they_are() {
        let bytes: Vec<u8> = (0..=255).collect();
        let crossing = cross(&bytes).unwrap();
        assert_eq!(&crossing[crossing.len() - 256..], bytes.as_slice());
    }
}
