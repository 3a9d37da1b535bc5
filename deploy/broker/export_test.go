package broker

// Limit is limit, for a test without a full disk.
func Limit(dir string, free, used int64) (int64, error) { return limit(dir, free, used) }

// Reserved is reserved: a test cannot shrink the disk to see what it is for.
func Reserved(dir string) int64 { return reserved(dir) }
