// Package disk makes file systems of their own for data directories, so that their power can be cut and that they can be full: an
// ext4 file system in a file. What was not synced is in the kernel's memory and not in the file, and a copy of the file is what a
// power cut leaves.
package disk
