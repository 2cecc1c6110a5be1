package damage

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// RemoveUnborn removes files of the Badger database in dir that a crash left empty: Badger makes a memtable or a part of its value log
// first and gives it its size a moment later, and refuses to open when it finds only the first done. Nothing was ever in
// them. Of the value log that can be the newest part only; an older one that is empty is damage, and stays.
func RemoveUnborn(dir string) error {
	tables, _ := filepath.Glob(filepath.Join(dir, "*.mem")) // the patterns are well-formed
	parts, _ := filepath.Glob(filepath.Join(dir, "*.vlog"))
	slices.Sort(parts)
	for _, name := range slices.Concat(tables, parts[max(0, len(parts)-1):]) {
		info, err := os.Stat(name)
		if err != nil {
			return fmt.Errorf("look at %s: %w", name, err)
		}
		if info.Size() > 0 {
			continue
		}
		if err := os.Remove(name); err != nil {
			return fmt.Errorf("remove a file that a crash left empty: %w", err)
		}
	}
	return nil
}
