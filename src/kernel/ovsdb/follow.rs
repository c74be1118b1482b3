//! The database tells that records changed.

use std::time::Duration;

use serde_json::json;

use super::{Connection, DATABASE, Refusal};

/// How long a database that cannot be asked is left alone, at first and at most.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(2)];

/// Calls `tell` whenever a bridge or a port may have changed, and whenever the database comes or goes; for ever.
pub async fn follow(tell: impl Fn()) {
    let [mut pause, longest] = PAUSES;
    loop {
        if let Ok(mut connection) = begin().await {
            // What happened before is seen by looking.
            tell();
            [pause, _] = PAUSES;
            while let Ok(message) = connection.receive().await {
                if message.get("method").is_some_and(|method| method == "update") {
                    tell();
                }
            }
            tell();
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}

/// Has the database tell of the columns that are read, and not of counters.
async fn begin() -> Result<Connection, Refusal> {
    let mut connection = Connection::open().await?;
    let bridge = [
        "name",
        "ports",
        "datapath_type",
        "fail_mode",
        "stp_enable",
        "mcast_snooping_enable",
        "external_ids",
    ];
    let port = ["name", "tag", "trunks", "vlan_mode", "external_ids"];
    let tables = json!({"Bridge": {"columns": bridge}, "Port": {"columns": port}});
    connection.call("monitor", json!([DATABASE, null, tables])).await?;
    Ok(connection)
}
