//! The engines of wasmtime, one for each class of components, and how hard they optimise.
//!
//! Promises that the level changes speed and memory, and no outcome. The settings are in
//! `profile/engine.rs`.

use snafu::Snafu;
use wasmtime::{Engine, OptLevel};

use crate::profile::class::Class;
use crate::profile::engine::{config, portable};

/// The level of optimisation. The first call of a component waits for the compiler. Nested loops within
/// the limits of the upload check, 1.5 MB of them, took 140 s at `Speed` and 21 s at `None` (on a loaded
/// machine). So `None` is the default, and `Speed` is for components that one trusts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// Code that is up to 1.4 times as fast where a function computes much.
    Speed,
    /// Compiles in half the time, and in bounded time.
    #[default]
    None,
    /// Code for no processor, interpreted: 20 times as slow. Tests show with it that no outcome depends
    /// on the machine.
    #[doc(hidden)]
    Portable,
}

/// The engine cannot start on this machine.
#[derive(Debug, Snafu)]
#[snafu(visibility(pub(crate)))]
pub enum EngineError {
    /// Wasmtime refuses its settings.
    #[snafu(display("cannot start the WebAssembly engine"))]
    Engine {
        /// The error of wasmtime.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The system gives no thread to compile on.
    #[snafu(display("cannot start the compile thread"))]
    Thread {
        /// The error of the system.
        source: std::io::Error,
    },
}

impl Level {
    /// Returns the compiler's level for a component of a class. Optimising a large component would take
    /// a minute.
    pub(crate) fn of(self, class: Class) -> OptLevel {
        match (self, class) {
            (Level::Speed, Class::Small) => OptLevel::Speed,
            _ => OptLevel::None,
        }
    }
}

/// Starts the engine of a class.
pub(super) fn engine(class: Class, level: Level) -> wasmtime::Result<Engine> {
    if level == Level::Portable {
        return Engine::new(&portable(class)?);
    }
    let level = level.of(class);
    // A machine that limits address space has no room for the pool: calls are slower, not different.
    Engine::new(&config(class, level, true)).or_else(|error| {
        tracing::warn!(%error, "no memory pool, calls will be slower");
        Engine::new(&config(class, level, false))
    })
}
