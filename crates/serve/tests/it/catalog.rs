//! PostgreSQL's catalog over ours: what drivers and tools ask for when they look around.

use serde_json::{Value, json};
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::support::{Node, answer};

async fn rows(client: &Client, sql: &str) -> Vec<Vec<String>> {
    let messages = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let row = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|index| row.get(index).unwrap_or("").to_owned()).collect())
        }
        _ => None,
    };
    messages.iter().filter_map(row).collect()
}

#[tokio::test]
async fn who_and_where() {
    let node = Node::start().await;
    let client = node.connect().await;
    let found = rows(&client, "select current_database(), current_schema()").await;
    assert_eq!(found[0][0], "shop");
    assert!(
        rows(&client, "select pg_catalog.version()").await[0][0].starts_with("PostgreSQL 16.6 (Flowline")
    );
    assert_eq!(rows(&client, "select current_setting('search_path')").await, [["public"]]);
    let databases = rows(&client, "select datname from pg_catalog.pg_database").await;
    assert!(databases.contains(&vec!["shop".to_owned()]), "{databases:?}");
}

#[tokio::test]
async fn relations_and_their_columns() {
    let node = Node::start().await;
    let client = node.connect().await;
    let tables = "select n.nspname, c.relname, c.relkind from pg_catalog.pg_class c \
                  join pg_catalog.pg_namespace n on n.oid = c.relnamespace where n.nspname = 'shop' order by 2";
    let found = rows(&client, tables).await;
    let names: Vec<&str> = found.iter().map(|row| row[1].as_str()).collect();
    assert_eq!(names, ["events", "letters", "numbers", "orders", "products", "strict", "totals"]);
    assert_eq!((found[1][2].as_str(), found[3][2].as_str()), ("v", "r"));
    let columns = "select a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod) from pg_catalog.pg_attribute a \
                   where a.attrelid = 'shop.orders'::regclass and a.attnum > 0 order by a.attnum limit 2";
    assert_eq!(rows(&client, columns).await[0], ["order_id", "text"]);
    let informed = "select column_name from information_schema.columns where table_schema = 'shop' and table_name = 'letters'";
    assert_eq!(rows(&client, informed).await, [["id"], ["letter"], ["ratio"]]);
}

/// The numbers of relations stay the same from one statement to the next, and for every client.
#[tokio::test]
async fn numbers_of_relations_stay() {
    let node = Node::start().await;
    let sql = "select oid from pg_catalog.pg_class where relname = 'orders'";
    let first = rows(&node.connect().await, sql).await;
    rows(&node.connect().await, "select count(*) from pg_catalog.pg_attribute").await;
    assert_eq!(rows(&node.connect().await, sql).await, first);
}

/// What DBeaver asks for when it opens a connection and unfolds its tree.
#[tokio::test]
async fn what_dbeaver_asks() {
    let node = Node::start().await;
    let client = node.connect().await;
    for sql in [
        "SELECT current_schema(),session_user",
        "SELECT db.oid,db.* FROM pg_catalog.pg_database db WHERE 1 = 1 AND datallowconn AND NOT datistemplate ORDER BY db.datname",
        "SELECT n.oid,n.*,d.description FROM pg_catalog.pg_namespace n LEFT OUTER JOIN pg_catalog.pg_description d \
         ON d.objoid=n.oid AND d.objsubid=0 AND d.classoid='pg_namespace'::regclass ORDER BY nspname",
        "SELECT t.oid,t.*,c.relkind,format_type(nullif(t.typbasetype, 0), t.typtypmod) as base_type_name, d.description \
         FROM pg_catalog.pg_type t LEFT OUTER JOIN pg_catalog.pg_type et ON et.oid=t.typelem \
         LEFT OUTER JOIN pg_catalog.pg_class c ON c.oid=t.typrelid \
         LEFT OUTER JOIN pg_catalog.pg_description d ON t.oid=d.objoid \
         WHERE t.typname IS NOT NULL AND (c.relkind IS NULL OR c.relkind = 'c') AND (et.typcategory IS NULL OR et.typcategory <> 'C')",
        "SELECT c.oid,c.*,d.description,pg_catalog.pg_get_expr(c.relpartbound, c.oid) as partition_expr, \
         pg_catalog.pg_get_partkeydef(c.oid) as partition_key FROM pg_catalog.pg_class c \
         LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid=c.oid AND d.objsubid=0 AND d.classoid='pg_class'::regclass \
         WHERE c.relkind not in ('i','I','c')",
        "SELECT c.relname,a.*,pg_catalog.pg_get_expr(ad.adbin, ad.adrelid, true) as def_value,dsc.description \
         FROM pg_catalog.pg_attribute a INNER JOIN pg_catalog.pg_class c ON (a.attrelid=c.oid) \
         LEFT OUTER JOIN pg_catalog.pg_attrdef ad ON (a.attrelid=ad.adrelid AND a.attnum = ad.adnum) \
         LEFT OUTER JOIN pg_catalog.pg_description dsc ON (c.oid=dsc.objoid AND a.attnum = dsc.objsubid) \
         WHERE NOT a.attisdropped AND c.relkind not in ('i','I','c') ORDER BY a.attnum",
        "SHOW ALL",
        "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'max_index_keys'",
    ] {
        rows(&client, sql).await;
    }
}

/// The rows that HTTP answers, as the texts of this protocol.
async fn rows_over_http(node: &Node, sql: &str) -> Vec<Vec<String>> {
    let (status, found) = answer(node.post("/v1/query").json(&json!({ "sql": sql }))).await;
    assert_eq!(status, 200, "{sql}: {found}");
    let names: Vec<&str> =
        found["columns"].as_array().unwrap().iter().map(|column| column["name"].as_str().unwrap()).collect();
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(holds) => if *holds { "t" } else { "f" }.to_owned(),
        other => other.to_string(),
    };
    let row = |row: &Value| names.iter().map(|name| text(&row[name])).collect();
    found["rows"].as_array().unwrap().iter().map(row).collect()
}

/// Words of the catalog in a query of a user are words: the query says what it says everywhere else.
#[tokio::test]
async fn rows_of_users_are_those_that_http_answers() {
    let node = Node::start().await;
    let client = node.connect().await;
    for sql in [
        "select number as jpg_url, (select max(i.number) from shop.numbers i where i.number = l.number) as same \
         from shop.numbers l where number < 4 order by number",
        "select 'aborted' as state, (select letter from shop.letters order by id limit 1) as first",
        "select id as pg_id, (select letter from shop.letters order by id limit 1) as first from shop.letters order by id",
        "select l.id as pg_id, l.id as again, l.* from shop.letters l order by l.id",
        "select id, letter like 'a\\%' escape '\\' as pg_like from shop.letters order by id",
        "with pg_class as (select id from shop.letters) select id from pg_class order by id",
        "select letter from shop.letters where letter <> 'information_schema' order by id",
    ] {
        assert_eq!(rows(&client, sql).await, rows_over_http(&node, sql).await, "{sql}");
    }
    let first =
        rows(&client, "select 'pg_' as a, (select letter from shop.letters order by id limit 1)").await;
    assert_eq!(first, [["pg_", "a"]]);
}

/// What is asked of the session in a query of a user is answered, and the rest of it stays what it is.
#[tokio::test]
async fn a_query_of_users_may_ask_who_and_where() {
    let node = Node::start().await;
    let client = node.connect().await;
    let sql = "select current_database() as db, current_user as me, current_schema as here, \
               (select letter from shop.letters order by id limit 1) as first, \
               (select max(i.number) from shop.numbers i where i.number = l.number) as same, \
               pg_catalog.upper('b') as large from shop.numbers l where number = 2";
    let found = rows(&client, sql).await;
    assert_eq!((found[0][0].as_str(), &found[0][3..]), ("shop", &["a", "2", "B"].map(str::to_owned)[..]));
    let me = rows(&client, "select current_user, current_schema").await;
    assert_eq!(found[0][1..3], me[0][..]);
    let joined = "select count(*) from shop.letters l join pg_catalog.pg_namespace n on n.nspname = 'shop'";
    assert_eq!(rows(&client, joined).await, [["3"]]);
    // Each statement of a text is looked at by itself.
    let several = "select nspname from pg_catalog.pg_namespace where nspname like 'sho!_' escape '!' or nspname = 'shop'; \
                   select (select letter from shop.letters order by id limit 1)";
    assert_eq!(rows(&client, several).await, [["shop"], ["a"]]);
}
