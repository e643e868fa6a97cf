//! Which files are read, and what is said of those that are not.

use expect_test::expect;
use flowline_project::{load, read, render};

use crate::support::{ORDERS, PROJECT, check, project, write};

#[test]
fn a_folder_without_a_project() {
    check(
        &[("README.md", "")],
        expect![[r#"
        error[missing-file]: there is no flowline.yaml in `<dir>`
        --> flowline.yaml:1:1
         = help: `flowline init shop` makes a project to start from

        1 error
    "#]],
    );
    check(
        &[("flowline.yml", PROJECT)],
        expect![[r#"
        error[missing-file]: there is no flowline.yaml in `<dir>`
        --> flowline.yaml:1:1
         = help: rename flowline.yml to flowline.yaml

        1 error
    "#]],
    );
}

#[test]
fn files_in_the_wrong_place() {
    check(
        &[
            ("flowline.yaml", PROJECT),
            ("datasets/orders.yaml", ORDERS),
            ("datasets/shop/deep/orders.yaml", ORDERS),
            ("datasets/shop/Orders.yaml", ORDERS),
            ("datasets/system/runs.yaml", ORDERS),
            ("datasets/shop/good.yaml", ORDERS),
            ("datasets/shop/good.yml", ORDERS),
            ("datasets/shop/other.yml", ORDERS),
            ("datasets/shop/README.md", "not read"),
            ("datasets/.hidden/x.yaml", "not read"),
            ("policies/access.cedar", "permit(principal, action, resource);"),
            ("consumers/board.yml", "kind: dashboard"),
        ],
        expect![[r#"
            error[misplaced-file]: `consumers/board.yml` is not read: files of consumers end in .yaml
            --> consumers/board.yml:1:1
             = help: rename it to consumers/board.yaml

            error[misplaced-file]: a dataset lies in the folder of its domain: datasets/<domain>/<name>.yaml
            --> datasets/orders.yaml:1:1
             = help: move it to datasets/shop/orders.yaml, say, for `shop.orders`

            error[invalid-name]: `Orders` is not a valid name: lower-case letters, digits and `_`, first a letter, at most 63 characters
            --> datasets/shop/Orders.yaml:1:1
             = help: rename the file or its folder: the dataset is named after them

            error[misplaced-file]: a dataset lies in the folder of its domain: datasets/<domain>/<name>.yaml
            --> datasets/shop/deep/orders.yaml:1:1
             = help: move it up: domains have no folders within

            error[duplicate-name]: `datasets/shop/good.yaml` declares the same dataset
            --> datasets/shop/good.yml:1:1
             = help: remove one of the two files

            error[misplaced-file]: `datasets/shop/other.yml` is not read: files of datasets end in .yaml
            --> datasets/shop/other.yml:1:1
             = help: rename it to datasets/shop/other.yaml

            error[invalid-name]: the domain `system` is Flowline's own
            --> datasets/system/runs.yaml:1:1
             = help: choose another name for the folder

            error[not-supported]: policies are not supported by this version
            --> policies/access.cedar:1:1
             = help: nothing would enforce it; move it out of the project until it is

            8 errors
        "#]],
    );
    check(
        &[("flowline.yaml", PROJECT), ("dataset/shop/orders.yaml", ORDERS)],
        expect![[r#"
        warning[misplaced-file]: nothing reads the folder `dataset`
        --> dataset:1:1
         = help: did you mean `datasets`?

        1 warning
    "#]],
    );
}

#[test]
fn files_that_cannot_be_read() {
    let dir = project(&[("flowline.yaml", PROJECT)]);
    write(dir.path(), "datasets/shop/a.yaml", b"owner: team-shop\nzone: \xff\n");
    write(dir.path(), "datasets/shop/b.yaml", "# much\n".repeat(200_000).as_bytes());
    write(dir.path(), "datasets/shop/c.yaml", b"owner: [\n");
    write(dir.path(), "datasets/shop/d.yaml", b"owner: team-shop\n\tzone: raw\n");
    write(dir.path(), "datasets/shop/e.yaml", b"# nothing but a comment\n");
    let reading = read(dir.path(), None);
    expect![[r#"
        error[unreadable-file]: this is not UTF-8
        --> datasets/shop/a.yaml:2:7
         = help: save the file as UTF-8

        error[too-large]: this file is larger than 1048576 bytes and is not read
        --> datasets/shop/b.yaml:1:1

        error[invalid-yaml]: not valid YAML: while parsing a node, did not find expected node content
         --> datasets/shop/c.yaml:1:9
          |
        1 | owner: [
          |         ^

        error[invalid-yaml]: not valid YAML: while scanning a plain scalar, found a tab
         --> datasets/shop/d.yaml:2:1
          |
        2 |     zone: raw
          | ^
          |
          = help: indent with spaces, not tabs

        error[missing-key]: the file is empty
         --> datasets/shop/e.yaml:1:1
          |
        1 | # nothing but a comment
          | ^
          |
          = help: it needs at least owner, zone, from

        5 errors
    "#]]
    .assert_eq(&render(&reading.diagnostics, false));
    assert!(reading.plan.datasets.is_empty());
    assert!(reading.is_consequence("there is no dataset `shop.c`"));
    assert!(!reading.is_consequence("there is no dataset `shop.x`"));
}

#[test]
fn the_version_follows_the_files() {
    let files = [("flowline.yaml", PROJECT), ("datasets/shop/orders.yaml", ORDERS)];
    let version = |files: &[(&str, &str)]| load(project(files).path(), None).unwrap().plan.version;
    let first = version(&files);
    assert_eq!(first.len(), 12);
    assert_eq!(version(&files), first, "the same files are the same version wherever they lie");
    assert_eq!(version(&[files[0], files[1], ("notes.txt", "")]), first, "what is not read is not deployed");
    assert_ne!(version(&[files[0], (files[1].0, &format!("{ORDERS}# changed\n"))]), first);
    assert_ne!(version(&[files[0], ("datasets/shop/order.yaml", ORDERS)]), first);
    assert_ne!(version(&[files[0], files[1], ("runbooks/orders.md", "call")]), first);
}
