//! How a client comes to be: it is made, shown to the program, and only then connected.

use std::sync::{Arc, Mutex, PoisonError};

use flagstaff_sdk::{Config, ConfigError, EnvironmentMetadata, LogLevel, Plugin};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::client::Client;
use crate::logging;

/// Makes Python's half of a client.
type Make = Box<dyn Fn(Python<'_>, flagstaff_sdk::Client) -> PyResult<Py<Client>> + Send + Sync>;

/// Starts a client. `show` is called with it before it connects; what that raises ends the client.
///
/// A client that cannot be started is replaced by one that is silent.
pub(crate) fn start(py: Python<'_>, settings: Config, make: Make, show: Py<PyAny>) -> PyResult<Py<Client>> {
    let showing = Arc::new(Showing { make, show, outcome: Mutex::default() });
    let (core, shown) = match start_core(py, settings.plugin(showing.clone())) {
        Ok(core) => (core, showing.take_outcome()),
        Err(error) => {
            let message =
                format!("The client could not be started, evaluations give defaults: {}", chain(&error));
            logging::log(py, LogLevel::Error, &message);
            let mut silent = Config::new("").offline(true).answer_when_closed(true);
            match showing.take_outcome().transpose()? {
                // The program was shown the other one already, and is not asked again to do what it did then.
                Some(_) => {}
                None => silent = silent.plugin(showing.clone()),
            }
            let core = start_core(py, silent).map_err(|error| PyRuntimeError::new_err(chain(&error)))?;
            (core, showing.take_outcome())
        }
    };
    let client = shown.unwrap_or_else(|| (showing.make)(py, core.clone()));
    let client = client.inspect_err(|_| py.detach(|| core.close()))?;
    logging::finish(py)?;
    Ok(client)
}

fn start_core(py: Python<'_>, settings: Config) -> Result<flagstaff_sdk::Client, ConfigError> {
    py.detach(|| flagstaff_sdk::Client::start(settings))
}

/// A plugin of the core's, which is called at the right moment.
struct Showing {
    make: Make,
    show: Py<PyAny>,
    /// The client, or what was raised; none before the moment has come.
    outcome: Mutex<Option<PyResult<Py<Client>>>>,
}

impl Showing {
    fn take_outcome(&self) -> Option<PyResult<Py<Client>>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Plugin for Showing {
    fn name(&self) -> &str {
        "ldclient"
    }

    fn register(&self, core: &flagstaff_sdk::Client, _environment: &EnvironmentMetadata) {
        // The caller's own thread, which has let go of the interpreter.
        let outcome = Python::attach(|py| {
            let client = (self.make)(py, core.clone())?;
            self.show.call1(py, (&client,))?;
            Ok(client)
        });
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }
}

/// An error and what caused it, each saying its own part.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
