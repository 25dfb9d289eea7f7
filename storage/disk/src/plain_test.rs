//! Plain files behave as the seam says.

use futures_lite::future::block_on;

use crate::{Access, BLOCK_BYTES, Disk, DiskErrorKind, DiskFile, OpenMode, PlainDisk, SimDisk};

/// What every disk answers, whatever it is made of.
async fn check_contract<D: Disk>(disk: D, root: &std::path::Path) {
    let dir = root.join("a/b");
    disk.create_dir(&dir).await.unwrap();
    disk.create_dir(&dir).await.unwrap();
    assert_eq!(disk.list(&root.join("none")).await.unwrap_err().kind, DiskErrorKind::NotFound);

    let (first, second) = (dir.join("first"), dir.join("second"));
    let file = disk.open(&first, OpenMode::CreateNew, Access::Buffered).await.unwrap();
    let again = disk.open(&first, OpenMode::CreateNew, Access::Buffered).await;
    assert_eq!(again.err().unwrap().kind, DiskErrorKind::AlreadyExists);
    let missing = disk.open(&second, OpenMode::ReadWrite, Access::Buffered).await;
    assert_eq!(missing.err().unwrap().kind, DiskErrorKind::NotFound);

    file.write_at(3, b"hello").await.unwrap();
    assert_eq!(file.size().await.unwrap(), 8);
    assert_eq!(file.read_at(0, 100).await.unwrap(), b"\0\0\0hello");
    assert_eq!(file.read_at(100, 1).await.unwrap(), b"");
    file.truncate(5).await.unwrap();
    file.allocate(9000).await.unwrap();
    file.allocate(10).await.unwrap();
    assert_eq!(file.size().await.unwrap(), 9000);
    assert_eq!(file.read_at(0, 8).await.unwrap(), b"\0\0\0he\0\0\0");
    file.sync().await.unwrap();

    let direct = disk.open(&first, OpenMode::ReadWrite, Access::Direct).await.unwrap();
    direct.write_at(BLOCK_BYTES as u64, &[7; BLOCK_BYTES]).await.unwrap();
    assert_eq!(direct.read_at(0, 4 * BLOCK_BYTES).await.unwrap().len(), 9000);
    assert_eq!(direct.read_at(BLOCK_BYTES as u64, BLOCK_BYTES).await.unwrap(), [7; BLOCK_BYTES]);

    disk.open(&second, OpenMode::CreateNew, Access::Buffered).await.unwrap();
    disk.rename(&first, &second).await.unwrap();
    disk.sync_dir(&dir).await.unwrap();
    let map = disk.map(&second).await.unwrap();
    let names: Vec<_> = disk.list(&dir).await.unwrap().into_iter().map(|entry| (entry.name, entry.is_dir)).collect();
    assert_eq!(names, [("second".to_owned(), false)]);
    let (available, total) = disk.space(&dir).await.unwrap();
    assert!(available <= total && total > 0);
    let size = disk.open(&second, OpenMode::Read, Access::Buffered).await.unwrap().size().await.unwrap();
    disk.remove(&second).await.unwrap();
    assert_eq!(map.len() as u64, size, "a map outlives the name");
    assert_eq!(disk.map(&second).await.unwrap_err().kind, DiskErrorKind::NotFound);
    assert_eq!(disk.remove(&second).await.unwrap_err().kind, DiskErrorKind::NotFound);
    disk.remove_dir(&root.join("a")).await.unwrap();
    disk.sync_dir(root).await.unwrap();
    assert!(disk.list(root).await.unwrap().is_empty());
}

#[test]
fn both_disks_keep_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    block_on(check_contract(PlainDisk, dir.path()));
    let sim = SimDisk::new(1);
    block_on(sim.create_dir("/sim".as_ref())).unwrap();
    block_on(check_contract(sim, "/sim".as_ref()));
}

#[test]
#[should_panic(expected = "not whole blocks")]
fn direct_access_is_checked() {
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        let file = PlainDisk.open(&dir.path().join("f"), OpenMode::CreateNew, Access::Direct).await.unwrap();
        file.write_at(0, b"short").await.unwrap();
    });
}
