package producer

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
)

const (
	maxName    = 64 // bytes; keeps a subject of three names well under what NATS takes
	hashPrefix = "h_"
	hashBytes  = 16 // of the sha256: 32 hex digits
)

// Key returns the name of a job in subjects: id itself where it is a [ValidName] and does not look
// like a name we make, else "h_" and the first 32 hex digits of its sha256. Names we make are
// "h_<32 hex>", "s<digits>" and "l<digits>"; an id of that form is hashed, so that nobody's id can
// be taken for another job's hash, a stream sequence or the line of an invalid job.
func Key(id string) string {
	if ValidName(id) && !isOurs(id) {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	var key [len(hashPrefix) + 2*hashBytes]byte
	copy(key[:], hashPrefix)
	hex.Encode(key[len(hashPrefix):], sum[:hashBytes])
	return string(key[:])
}

// ValidName reports whether s can name a queue, a batch or a job: 1 to 64 of A-Z a-z 0-9 _ and -.
// Such a name is one token of a subject and a file name everywhere.
func ValidName(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for i := range len(s) {
		if !isNameByte(s[i]) {
			return false
		}
	}
	return true
}

// Endpoints returns the paths a job may ask for, the default first. The slice is the caller's.
func Endpoints() []string {
	return []string{
		"/v1/chat/completions",
		"/v1/completions",
		"/v1/embeddings",
		"/v1/responses",
		"/v1/moderations",
		"/v1/messages",
	}
}

// lineKey names a line of a file that is no job, and so has no id to rely on.
func lineKey(line int) string { return "l" + strconv.Itoa(line) }

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || isDigit(c) || c == '_' || c == '-'
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// isLowerHex takes lower case only: that is all we write.
func isLowerHex(c byte) bool { return isDigit(c) || 'a' <= c && c <= 'f' }

func isOurs(id string) bool {
	if len(id) > 1 && (id[0] == 's' || id[0] == 'l') && every(id[1:], isDigit) {
		return true
	}
	digits, ok := strings.CutPrefix(id, hashPrefix)
	return ok && len(digits) == 2*hashBytes && every(digits, isLowerHex)
}

func every(s string, is func(byte) bool) bool {
	for i := range len(s) {
		if !is(s[i]) {
			return false
		}
	}
	return true
}
