//! PostgreSQL's catalog over ours: the domains as schemas of one database, the datasets as its relations.

use std::fmt;
use std::sync::Arc;

use super::functions::{constants, current_setting, set_config};
use super::settings::Settings;
use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::SchemaProvider;
use datafusion::datasource::TableType;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::ScalarUDF;
use datafusion::prelude::SessionContext;
use datafusion_pg_catalog::pg_catalog::catalog_info::CatalogInfo;
use datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_pg_catalog::pg_catalog::generate_series_arg_coercion::CoerceIntArgsToBigInt;
use datafusion_pg_catalog::pg_catalog::has_privilege_udf::create_has_privilege_udf;
use datafusion_pg_catalog::pg_catalog::oid_type_planner::PgOidTypePlanner;
use datafusion_pg_catalog::pg_catalog::{
    PgCatalogSchemaProvider, PgCatalogStaticTables, array_bounds_udf, create_current_database_udf,
    create_current_schema_udf, create_current_schemas_udf, create_pg_backend_pid_udf,
    create_pg_encoding_to_char_udf, create_pg_get_constraintdef, create_pg_get_partition_ancestors_udf,
    create_pg_get_partkeydef_udf, create_pg_get_statisticsobjdef_columns_udf, create_pg_get_userbyid_udf,
    create_pg_relation_is_publishable_udf, create_pg_relation_size_udf, create_pg_stat_get_numscans,
    create_pg_table_is_visible, create_pg_total_relation_size_udf, create_session_user_udf, format_type,
    pg_get_expr_udf, quote_ident_udf,
};
use flowline_process::{CATALOG, ProcessError, QueryEngine, SessionOptions};

/// The schema that holds PostgreSQL's own relations.
const PG_CATALOG: &str = "pg_catalog";

/// PostgreSQL's catalog, made once and shared by all sessions: the numbers by which clients know relations must stay
/// the same from one statement to the next. Making it takes some milliseconds and a few megabytes.
pub(super) struct Catalog {
    functions: Vec<ScalarUDF>,
    tables: Arc<PgCatalogStaticTables>,
}

impl Catalog {
    /// The catalog of this engine's datasets, under the name `database`; registers its relations with the engine.
    pub fn new(engine: &QueryEngine, database: &str) -> Result<Self> {
        let tables = Arc::new(PgCatalogStaticTables::try_new()?);
        let relations = Relations { engine: engine.clone(), database: database.to_owned() };
        let schema = PgCatalogSchemaProvider::try_new(relations, tables.clone(), EmptyContextProvider)?;
        engine.register_schema(PG_CATALOG, Arc::new(schema));
        let functions = functions(database).into_iter().chain(constants()).collect();
        Ok(Self { functions, tables })
    }

    /// Gives a session PostgreSQL's functions and types.
    pub fn install(&self, session: &SessionContext, settings: &Settings) {
        for function in &self.functions {
            session.register_udf(function.clone());
        }
        session.register_udf(current_setting(settings));
        session.register_udf(set_config());
        session.register_udtf("pg_get_keywords", self.tables.pg_get_keywords.clone());
        let state = session.state_ref();
        let with_types = SessionStateBuilder::new_from_existing(session.state())
            .with_type_planner(Arc::new(PgOidTypePlanner));
        *state.write() = with_types.build();
        CoerceIntArgsToBigInt::widen(session);
    }
}

fn functions(database: &str) -> Vec<ScalarUDF> {
    let privileges =
        ["has_table_privilege", "has_schema_privilege", "has_database_privilege", "has_any_column_privilege"];
    let mut functions: Vec<ScalarUDF> = privileges.into_iter().map(create_has_privilege_udf).collect();
    functions.extend([
        create_current_database_udf(database),
        create_current_schema_udf(),
        create_current_schemas_udf(),
        create_session_user_udf(),
        create_pg_get_userbyid_udf(),
        create_pg_table_is_visible(),
        create_pg_get_partkeydef_udf(),
        create_pg_relation_is_publishable_udf(),
        create_pg_get_statisticsobjdef_columns_udf(),
        create_pg_encoding_to_char_udf(),
        create_pg_backend_pid_udf(),
        create_pg_relation_size_udf(),
        create_pg_total_relation_size_udf(),
        create_pg_stat_get_numscans(),
        create_pg_get_constraintdef(),
        create_pg_get_partition_ancestors_udf(),
        format_type::create_format_type_udf(),
        pg_get_expr_udf::create_pg_get_expr_udf(),
        quote_ident_udf::create_quote_ident_udf(),
        quote_ident_udf::create_parse_ident_udf(),
        array_bounds_udf::create_array_upper_udf(),
        array_bounds_udf::create_array_lower_udf(),
    ]);
    functions
}

/// The relations that PostgreSQL's catalog lists: those of a session of the engine, as they are when asked for.
#[derive(Clone)]
struct Relations {
    engine: QueryEngine,
    database: String,
}

impl fmt::Debug for Relations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relations").field("database", &self.database).finish_non_exhaustive()
    }
}

impl Relations {
    async fn schema(&self, database: &str, schema: &str) -> Result<Option<Arc<dyn SchemaProvider>>> {
        // Those of PostgreSQL itself stay unlisted, as its clients hide them anyway.
        if database != self.database || schema == PG_CATALOG {
            return Ok(None);
        }
        Ok(self.session().await?.catalog(CATALOG).and_then(|catalog| catalog.schema(schema)))
    }

    async fn session(&self) -> Result<SessionContext> {
        let session = self.engine.session(&SessionOptions::default()).await;
        session.map_err(|error: ProcessError| DataFusionError::External(Box::new(error)))
    }
}

#[async_trait]
impl CatalogInfo for Relations {
    async fn catalog_names(&self) -> Result<Vec<String>> {
        Ok(vec![self.database.clone()])
    }

    async fn schema_names(&self, database: &str) -> Result<Option<Vec<String>>> {
        if database != self.database {
            return Ok(None);
        }
        let catalog = self.session().await?.catalog(CATALOG);
        Ok(catalog.map(|catalog| catalog.schema_names()))
    }

    async fn table_names(&self, database: &str, schema: &str) -> Result<Option<Vec<String>>> {
        Ok(self.schema(database, schema).await?.map(|schema| schema.table_names()))
    }

    async fn table_schema(&self, database: &str, schema: &str, table: &str) -> Result<Option<SchemaRef>> {
        let Some(schema) = self.schema(database, schema).await? else { return Ok(None) };
        // One table that cannot be read must not hide the others.
        Ok(schema.table(table).await.unwrap_or_default().map(|table| table.schema()))
    }

    async fn table_type(&self, database: &str, schema: &str, table: &str) -> Result<Option<TableType>> {
        match self.schema(database, schema).await? {
            Some(schema) => schema.table_type(table).await,
            None => Ok(None),
        }
    }
}
