//! `flagstaff owner-link`: a new one-time sign-in link for the owner, also while the service runs.

use flagstaff_service::config::Database;
use flagstaff_service::error::chain;
use flagstaff_service::management::setup;
use flagstaff_service::store::{DATABASE_FILE, Store};

use crate::{Failure, options, print};

pub(crate) fn run(options: options::OwnerLink) -> Result<(), Failure> {
    let (listen, config) = options.resolve()?;
    if matches!(config.database, Database::Sqlite) && !config.data.join(DATABASE_FILE).exists() {
        let shown = config.data.display();
        return Err(format!("there is no database in `{shown}`; name the service's data folder with --data"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("could not start: {error}"))?;
    let path = runtime.block_on(async {
        setup::check_ours(&config).await.map_err(|error| chain(&error))?;
        let store = Store::of(&config).await.map_err(|error| chain(&error))?;
        let path = setup::owner_link(&store).await.map_err(|error| chain(&error))?;
        store.close().await;
        path.ok_or_else(|| "this service has no owner".to_owned())
    })?;
    print(&format!("http://{listen}{path}\n"))
}
