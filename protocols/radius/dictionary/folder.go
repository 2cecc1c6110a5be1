package dictionary

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// maxFiles is how many files one file may lead to.
const maxFiles = 256

// ReadFile returns a dictionary file and all files that it includes, for With.
// Nothing outside the file's folder is read, neither by name nor through a
// symbolic link. Errors name the file.
func ReadFile(name string) ([]File, error) {
	root, err := os.OpenRoot(filepath.Dir(name))
	if err != nil {
		return nil, fmt.Errorf("open the dictionary's folder: %w", err)
	}
	defer root.Close()
	return readAll(root.FS(), filepath.Base(name))
}

func readAll(folder fs.FS, first string) ([]File, error) {
	var files []File
	queue := []string{first}
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		if slices.ContainsFunc(files, func(f File) bool { return f.Name == name }) {
			continue
		}
		if len(files) == maxFiles {
			return nil, fmt.Errorf("read dictionary %s: it leads to more than %d files", first, maxFiles)
		}
		text, err := readLimited(folder, name)
		if errors.Is(err, fs.ErrNotExist) && name != first {
			continue // the line that includes it is named when it is parsed
		}
		if err != nil {
			return nil, fmt.Errorf("read dictionary %s: %w", name, err)
		}
		files = append(files, File{Name: name, Text: text})
		for line := range strings.Lines(text) {
			fields := strings.Fields(line)
			if len(fields) < 2 || !strings.HasPrefix(strings.ToUpper(fields[0]), "$INCLUDE") {
				continue
			}
			if next, err := included(name, fields[1]); err == nil {
				queue = append(queue, path.Clean(next))
			}
		}
	}
	return files, nil
}

func readLimited(folder fs.FS, name string) (string, error) {
	f, err := folder.Open(name)
	if err != nil {
		return "", fmt.Errorf("open: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return "", fmt.Errorf("read: %w", err)
	}
	if len(text) > maxFileSize {
		return "", fmt.Errorf("file is larger than %d bytes", maxFileSize)
	}
	return string(text), nil
}
