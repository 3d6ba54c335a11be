-- The dataset's Parquet in ClickHouse: same files, same columns and types, same values.
--
-- What it does not do: check rows, shuffle images, or keep the published order of an image's rows.
-- Arrays can't be null in ClickHouse, so extreme points that a table doesn't tell are an empty list.

INSERT INTO FUNCTION file('$output/parquet/{_partition_id}.parquet', Parquet)
PARTITION BY split
WITH
image_labels AS (
  SELECT ImageID AS image_id,
    groupArray(CAST((LabelName, Source, Confidence),
      'Tuple(label String, source String, confidence Float32)')) AS image_labels
  FROM file('$annotations/*-imagelabels.csv', CSVWithNames,
    'ImageID String, Source String, LabelName String, Confidence Float32')
  GROUP BY ImageID
),
bboxes AS (
  SELECT ImageID AS image_id,
    groupArray(CAST((LabelName, Source, Confidence, XMin, XMax, YMin, YMax,
        IsOccluded, IsTruncated, IsGroupOf, IsDepiction, IsInside,
        if(least(XClick1X, XClick2X, XClick3X, XClick4X,
                 XClick1Y, XClick2Y, XClick3Y, XClick4Y) < 0,
          CAST([], 'Array(Tuple(x Float32, y Float32))'),
          CAST([(XClick1X, XClick1Y), (XClick2X, XClick2Y),
                (XClick3X, XClick3Y), (XClick4X, XClick4Y)],
            'Array(Tuple(x Float32, y Float32))'))),
      'Tuple(label String, source String, confidence Float32,
        xmin Float32, xmax Float32, ymin Float32, ymax Float32,
        is_occluded Int8, is_truncated Int8, is_group_of Int8, is_depiction Int8, is_inside Int8,
        extreme_points Array(Tuple(x Float32, y Float32)))')) AS bboxes
  FROM file('$annotations/*-annotations-bbox.csv', CSVWithNames,
    'ImageID String, Source String, LabelName String, Confidence Float32,
     XMin Float32, XMax Float32, YMin Float32, YMax Float32,
     IsOccluded Int8, IsTruncated Int8, IsGroupOf Int8, IsDepiction Int8, IsInside Int8,
     XClick1X Float32 DEFAULT -1, XClick2X Float32, XClick3X Float32, XClick4X Float32,
     XClick1Y Float32, XClick2Y Float32, XClick3Y Float32, XClick4Y Float32')
  GROUP BY ImageID
),
person_boxes AS (
  SELECT ImageID AS image_id,
    groupArray(CAST((LabelName, NULL, Confidence, XMin, XMax, YMin, YMax,
        IsOccluded, IsTruncated, IsGroupOf, IsDepictionOf, IsInsideOf,
        GenderPresentation, AgePresentation),
      'Tuple(label String, source Nullable(String), confidence Float32,
        xmin Float32, xmax Float32, ymin Float32, ymax Float32,
        is_occluded Int8, is_truncated Int8, is_group_of Int8, is_depiction Int8, is_inside Int8,
        gender_presentation String, age_presentation String)')) AS person_boxes
  FROM file('$annotations/*miap_boxes*.csv', CSVWithNames,
    'ImageID String, LabelName String, Confidence Float32,
     XMin Float32, XMax Float32, YMin Float32, YMax Float32,
     IsOccluded Int8, IsTruncated Int8, IsGroupOf Int8, IsDepictionOf Int8, IsInsideOf Int8,
     GenderPresentation String, AgePresentation String')
  GROUP BY ImageID
),
masks AS (
  SELECT ImageID AS image_id,
    groupArray(CAST((LabelName, BoxID, BoxXMin, BoxXMax, BoxYMin, BoxYMax, PredictedIoU,
        arrayMap(click -> (toFloat32(click[1]), toFloat32(click[2]), toInt8(click[3])),
          arrayMap(text -> splitByChar(' ', text),
            if(Clicks = '', [], splitByChar(';', Clicks)))),
        [], NULL, NULL),
      'Tuple(label String, box_id String, xmin Float32, xmax Float32, ymin Float32, ymax Float32,
        predicted_iou Nullable(Float32), clicks Array(Tuple(x Float32, y Float32, t Int8)),
        size Array(Int32), counts Nullable(String), area Nullable(Int64))')) AS masks
  FROM file('$annotations/*-annotations-object-segmentation.csv', CSVWithNames,
    'MaskPath String, ImageID String, LabelName String, BoxID String,
     BoxXMin Float32, BoxXMax Float32, BoxYMin Float32, BoxYMax Float32,
     PredictedIoU Nullable(Float32), Clicks String')
  GROUP BY ImageID
),
relationships AS (
  SELECT ImageID AS image_id,
    groupArray(CAST((LabelName1, LabelName2, RelationshipLabel,
        XMin1, XMax1, YMin1, YMax1, XMin2, XMax2, YMin2, YMax2),
      'Tuple(label1 String, label2 String, relationship String,
        xmin1 Float32, xmax1 Float32, ymin1 Float32, ymax1 Float32,
        xmin2 Float32, xmax2 Float32, ymin2 Float32, ymax2 Float32)')) AS relationships
  FROM file('$annotations/*-annotations-vrd.csv', CSVWithNames,
    'ImageID String, LabelName1 String, LabelName2 String, RelationshipLabel String,
     XMin1 Float32, XMax1 Float32, YMin1 Float32, YMax1 Float32,
     XMin2 Float32, XMax2 Float32, YMin2 Float32, YMax2 Float32')
  GROUP BY ImageID
),
narratives AS (
  SELECT image_id,
    groupArray(CAST(
      (annotator_id, caption, timed_caption, traces, voice_recording, (NULL, NULL)),
      'Tuple(annotator_id Int64, caption String,
        timed_caption Array(Tuple(utterance String, start_time Float32, end_time Float32)),
        traces Array(Array(Tuple(x Float32, y Float32, t Float32))),
        voice_recording String,
        voice Tuple(bytes Nullable(String), path Nullable(String)))')) AS narratives
  FROM file('$annotations/*_localized_narratives*.jsonl', JSONEachRow,
    'image_id String, annotator_id Int64, caption String,
     timed_caption Array(Tuple(utterance String, start_time Float32, end_time Float32)),
     traces Array(Array(Tuple(x Float32, y Float32, t Float32))), voice_recording String')
  GROUP BY image_id
),
points AS (
  SELECT ImageId AS image_id,
    groupArray(CAST((X, Y, Label, EstimatedYesNo, Source, YesVotes, NoVotes, UnsureVotes,
        TextLabel),
      'Tuple(x Float32, y Float32, label String, estimated_yes_no String, source String,
        yes_votes Int32, no_votes Int32, unsure_votes Int32, text_label String)')) AS points
  FROM file('$annotations/*-point-labels.csv', CSVWithNames,
    'ImageId String, X Float32, Y Float32, Label String, EstimatedYesNo String, Source String,
     YesVotes Int32, NoVotes Int32, UnsureVotes Int32, TextLabel String')
  WHERE ImageId != ''  -- a blank line
  GROUP BY ImageId
)
SELECT
  ImageID AS image_id, Subset AS split,
  toInt16OrNull(splitByChar('.', Rotation)[1]) AS rotation, rotation AS published_rotation,
  OriginalURL AS original_url, OriginalLandingURL AS original_landing_url, License AS license,
  AuthorProfileURL AS author_profile_url, Author AS author, Title AS title,
  Thumbnail300KURL AS thumbnail_300k_url, OriginalSize AS original_size,
  OriginalMD5 AS original_md5,
  image_labels, bboxes, person_boxes, masks, relationships, narratives, points
FROM file('$annotations/*-images*-with-rotation.csv', CSVWithNames,
  'ImageID String, Subset String, OriginalURL Nullable(String),
   OriginalLandingURL Nullable(String), License Nullable(String),
   AuthorProfileURL Nullable(String), Author Nullable(String), Title Nullable(String),
   OriginalSize Nullable(Int64), OriginalMD5 Nullable(String), Thumbnail300KURL Nullable(String),
   Rotation String') AS images
LEFT JOIN image_labels ON images.ImageID = image_labels.image_id
LEFT JOIN bboxes ON images.ImageID = bboxes.image_id
LEFT JOIN person_boxes ON images.ImageID = person_boxes.image_id
LEFT JOIN masks ON images.ImageID = masks.image_id
LEFT JOIN relationships ON images.ImageID = relationships.image_id
LEFT JOIN narratives ON images.ImageID = narratives.image_id
LEFT JOIN points ON images.ImageID = points.image_id
